"""A convolutional network with a Lipschitz constant of 1."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from dlrun.model.constrained import Norm, constrained
from dlrun.model.group_sort import GroupSort


class LipschitzCNN(nn.Sequential):
    """Convolutions of kernel and stride 2, constrained in norm, sorting between them, and a dense head.

    As :class:`~dlrun.model.lipschitz_mlp.LipschitzMLP`. Windows that do not overlap make a convolution an orthogonal
    map of each window, so that its constant is exactly 1 in L2.

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by 2 to the number of convolutions.
        num_classes: outputs.
        widths: channels of each convolution.
        hidden: units of the head's hidden layer.
        group: channels or units that are sorted together; 2 is MinMax.
        norm: in which the constant is 1, ``l2`` or ``linf``.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        widths: list[int],
        hidden: int = 128,
        group: int = 2,
        norm: Norm = "l2",
    ) -> None:
        wrong = [width for width in (*widths, hidden) if width % group]
        if wrong:
            raise ValueError(f"width {wrong[0]}: expected a multiple of group={group}")
        if image_size % 2 ** len(widths):
            raise ValueError(
                f"lipschitz_cnn halves an image {len(widths)} times; expected dataset.image_size divisible"
            )
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([channels, *widths]):
            layers += [constrained(nn.Conv2d(inputs, outputs, 2, stride=2), norm), GroupSort(group)]
        flat = widths[-1] * (image_size // 2 ** len(widths)) ** 2
        layers += [nn.Flatten(), constrained(nn.Linear(flat, hidden), norm), GroupSort(group)]
        super().__init__(*layers, constrained(nn.Linear(hidden, num_classes), norm))
