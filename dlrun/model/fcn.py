"""A fully convolutional network, with an output for every pixel."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from dlrun.model.norm import Norm
from dlrun.model.norm import norm as make_norm


class FCN(nn.Sequential):
    """Convolutions 3x3 that keep the image's size, and one of 1x1 as a classifier of every pixel (Long et al. 2015).

    A dilation spreads a kernel's nine weights over more of the image (Yu and Koltun 2016; 004_f2c8751b5d3b52bc.txt):
    dilations 1, 1, 1, 1, 1, 1 see 13 pixels, 1, 2, 4, 8, 4, 2 see 43, with as many weights.

    Args:
        channels: of the image.
        num_classes: outputs for each pixel.
        width: channels of all hidden layers.
        dilations: of each convolution.
        norm: of every convolution's output, :func:`dlrun.model.norm.norm`.

    Raises:
        ValueError: no convolutions, or a dilation below 1.
    """

    def __init__(self, channels: int, num_classes: int, width: int, dilations: list[int], norm: Norm = "batch") -> None:
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations={dilations}: expected 1 or more for each convolution")
        layers: list[nn.Module] = []
        for (inputs, outputs), dilation in zip(pairwise([channels, *[width] * len(dilations)]), dilations, strict=True):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=norm != "batch"))
            layers += [nn.ReLU()] if norm == "none" else [make_norm(norm, outputs), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(width, num_classes, 1))
