"""The linear classifier."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class Linear(nn.Sequential):
    """One dense layer on the flattened image (001_6d5271d093cc63ab.txt, linear classification).

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
    """

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        dense = nn.Linear(channels * image_size**2, num_classes)
        super().__init__(OrderedDict(flatten=nn.Flatten(), fc=dense))
