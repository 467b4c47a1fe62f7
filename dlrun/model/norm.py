"""The normalisations of a feature map, by name."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import nn

Norm = Literal["batch", "layer", "instance", "group", "none"]


def norm(name: Norm, channels: int, groups: int = 8) -> nn.Module:
    """A normalisation with a scale and a shift for every channel; ``none`` does nothing.

    They differ in what mean and variance are taken over (Wu and He 2018, figure 2): the batch and all positions
    (``batch``, Ioffe and Szegedy 2015), all channels and positions of an image (``layer``, Ba et al. 2016), the
    positions of one channel (``instance``, Ulyanov et al. 2016), or of a group of them (``group``).

    Args:
        name: which.
        channels: of the feature map (B, C, H, W).
        groups: of ``group``; fewer where they do not divide the channels.

    Raises:
        ValueError: there is none of this name.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "group":
        return nn.GroupNorm(math.gcd(groups, channels), channels)
    if name == "none":
        return nn.Identity()
    raise ValueError(f"norm={name}: no such normalisation; expected {', '.join(get_args(Norm))}")
