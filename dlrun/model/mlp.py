"""The multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from dlrun.model.activation import Name, activation


class MLP(nn.Sequential):
    """Dense layers with an activation between them (001_6d5271d093cc63ab.txt, multi-layer perceptron).

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
        width: units of each hidden layer.
        depth: number of hidden layers.
        widths: units of every hidden layer one by one, instead of width and depth.
        activation: between the layers.
        dropout: probability that a hidden unit is dropped.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 128,
        depth: int = 2,
        widths: list[int] | None = None,
        activation: Name = "relu",
        dropout: float = 0.0,
    ) -> None:
        sizes = [channels * image_size**2, *(widths or [width] * depth)]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), _activation(activation)]
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(sizes[-1], num_classes))


_activation = activation  # the constructor's argument has the same name
