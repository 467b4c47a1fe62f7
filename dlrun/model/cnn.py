"""The configurable convolutional network: blocks of (convolution, activation)^n and pooling, then a dense head."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Literal

from torch import nn

from dlrun.model.activation import Name
from dlrun.model.activation import activation as make_activation
from dlrun.model.norm import Norm
from dlrun.model.norm import norm as make_norm
from dlrun.model.size import conv_size, require


class CNN(nn.Sequential):
    """(Conv-ReLU)^n-Pool blocks and a dense head (003_7190ac02314fafbe.txt, architecture of convolutional networks).

    Args:
        channels: of the image.
        image_size: its side in pixels.
        num_classes: outputs.
        widths: channels of each block's convolutions.
        convs: convolutions in every block, n.
        kernel: their side; the image keeps its size.
        pool: how a block ends: max or average pooling by 2, or none.
        norm: of every convolution's output, :func:`dlrun.model.norm.norm`.
        activation: after every convolution and hidden dense layer.
        global_pool: average over all positions before the head (3-64-64-GAP-2 is widths [64,64], no hidden layer).
        hidden: units of the head's hidden layers.
        dropout: probability before every dense layer.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        widths: list[int],
        convs: int = 1,
        kernel: int = 3,
        pool: Literal["max", "avg", "none"] = "max",
        norm: Norm = "none",
        activation: Name = "relu",
        global_pool: bool = False,
        hidden: list[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        pools = {"max": nn.MaxPool2d(2), "avg": nn.AvgPool2d(2), "none": nn.Identity()}
        if pool != "none":
            require("cnn", image_size, 2 ** len(widths))
        if kernel % 2 == 0:
            raise ValueError(f"cnn takes an odd kernel, which keeps the image's size, not {kernel}")
        features = nn.Sequential()
        size = image_size
        for inputs, outputs in pairwise([channels, *widths]):
            for number in range(convs):
                source = outputs if number else inputs
                features.append(nn.Conv2d(source, outputs, kernel, padding=kernel // 2, bias=norm != "batch"))
                if norm != "none":
                    features.append(make_norm(norm, outputs))
                features.append(make_activation(activation))
            if pool != "none":
                features.append(pools[pool])
                size = conv_size(size, 2, stride=2)
        if global_pool:
            features.append(nn.AdaptiveAvgPool2d(1))
            size = 1
        head = nn.Sequential(nn.Flatten())
        sizes = [widths[-1] * size**2, *(hidden or [])]
        for inputs, outputs in pairwise(sizes):
            head.extend([nn.Dropout(dropout), nn.Linear(inputs, outputs), make_activation(activation)])
        head.extend([nn.Dropout(dropout), nn.Linear(sizes[-1], num_classes)])
        super().__init__(OrderedDict(features=features, head=head))
