"""Xception, a network of separable convolutions, in a form for small images."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from dlrun.model.size import require


class Xception(nn.Sequential):
    """Residual blocks of depthwise and pointwise convolutions (Chollet 2017; 004_f2c8751b5d3b52bc.txt).

    A convolution 3x3 begins; every further width has a block of two, with max pooling by 2 and a shortcut 1x1 of stride
    2; the average over all positions goes to one dense layer. The paper's network has more of these blocks, and begins
    by dividing its 299 pixels by 4.

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
        widths: channels of the first convolution and of each block.
        separable: False puts the ordinary convolution in the place of each pair: the plain network beside it.
    """

    def __init__(
        self, channels: int, image_size: int, num_classes: int, widths: list[int], separable: bool = True
    ) -> None:
        require("xception", image_size, 2 ** (len(widths) - 1))
        first = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        blocks = [Block(inputs, outputs, separable) for inputs, outputs in pairwise(widths)]
        super().__init__(
            OrderedDict(
                first=nn.Sequential(*first),
                blocks=nn.Sequential(*blocks),
                act=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                fc=nn.Linear(widths[-1], num_classes),
            )
        )


class Block(nn.Module):
    """Two convolutions with what goes around them, and a shortcut; half the side.

    Args:
        inputs: channels.
        outputs: channels.
        separable: depthwise and pointwise, or ordinary convolutions.
    """

    def __init__(self, inputs: int, outputs: int, separable: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for source in (inputs, outputs):
            layers += [nn.ReLU(), convolution(source, outputs, separable), nn.BatchNorm2d(outputs)]
        self.residual = nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, padding=1))
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, outputs, ceil(H/2), ceil(W/2)) of features (B, inputs, H, W)."""
        summed: Tensor = self.residual(features) + self.shortcut(features)
        return summed


def convolution(inputs: int, outputs: int, separable: bool) -> nn.Module:
    """A convolution 3x3 that keeps the size: one for each channel and then 1x1 across them, or an ordinary one."""
    if not separable:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(
        OrderedDict(
            depthwise=nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            pointwise=nn.Conv2d(inputs, outputs, 1, bias=False),
        )
    )
