"""ConvMixer, a network that mixes positions and channels in turn."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class ConvMixer(nn.Sequential):
    """Patches as channels, then depthwise and pointwise convolutions in turn (Trockman and Kolter 2022, ConvMixer).

    With 256 channels, depth 8, kernel 5 and patches of 2 there are 594,186 parameters for three channels and ten
    classes (004_f2c8751b5d3b52bc.txt).

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by the patches'.
        num_classes: outputs.
        width: channels of all layers, the paper's dimension.
        depth: pairs of a depthwise and a pointwise convolution.
        kernel: side of the depthwise ones.
        patch: side of the squares that the image is cut into.

    Raises:
        ValueError: the image is no whole number of patches, or the kernel is even.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 256,
        depth: int = 8,
        kernel: int = 5,
        patch: int = 2,
    ) -> None:
        if image_size % patch:
            raise ValueError(f"patch={patch}: expected a divisor of dataset.image_size={image_size}")
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: expected an odd number, which keeps the size")
        super().__init__(
            OrderedDict(
                patches=_activated(nn.Conv2d(channels, width, patch, stride=patch), width),
                mixers=nn.Sequential(*(_mixer(width, kernel) for _ in range(depth))),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                fc=nn.Linear(width, num_classes),
            )
        )


class Residual(nn.Module):
    """Layers whose output is added to their input.

    Args:
        layers: keep the shape.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        """Features of any shape that the layers keep."""
        summed: Tensor = self.layers(features) + features
        return summed


def _mixer(width: int, kernel: int) -> nn.Sequential:
    depthwise = nn.Conv2d(width, width, kernel, groups=width, padding=kernel // 2)
    return nn.Sequential(
        OrderedDict(
            positions=Residual(_activated(depthwise, width)),
            channels=_activated(nn.Conv2d(width, width, 1), width),
        )
    )


def _activated(layer: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.GELU(), nn.BatchNorm2d(width))
