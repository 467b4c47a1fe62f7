"""A dense network with a Lipschitz constant of 1."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from dlrun.model.constrained import Norm, constrained
from dlrun.model.group_sort import GroupSort


class LipschitzMLP(nn.Sequential):
    """Dense layers constrained in norm, sorting between them (002_650a5abb4bbbf8e1.txt, Lipschitz networks).

    A margin of more than 2 eps between the first two logits (in L2: of sqrt(2) eps) is a proof that no perturbation of
    size eps changes the class. Train with ``dataset.normalize=false``, since normalisation has a constant of its own,
    and with ``loss=hinge``, whose margin says what is wanted.

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
        width: units of each hidden layer.
        depth: number of hidden layers.
        group: units that are sorted together; 2 is MinMax.
        norm: in which the constant is 1, ``l2`` or ``linf``.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 128,
        depth: int = 2,
        group: int = 2,
        norm: Norm = "l2",
    ) -> None:
        if width % group:
            raise ValueError(f"width={width}: expected a multiple of group={group}")
        sizes = [channels * image_size**2, *[width] * depth]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            layers += [constrained(nn.Linear(inputs, outputs), norm), GroupSort(group)]
        super().__init__(*layers, constrained(nn.Linear(sizes[-1], num_classes), norm))
