"""The stages of a small convolutional encoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from dlrun.model.norm import norm


def conv_stages(channels: int, widths: Sequence[int], pools: int) -> list[nn.Module]:
    """For each width a convolution of 3x3, batch normalisation, ReLU; the first ``pools`` end in max pooling."""
    made: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise([channels, *widths])):
        made += [nn.Conv2d(before, after, 3, padding=1, bias=False), norm("batch", after), nn.ReLU()]
        made += [nn.MaxPool2d(2)] if number < pools else []
    return made
