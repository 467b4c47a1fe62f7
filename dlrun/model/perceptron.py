"""The perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Perceptron(nn.Module):
    """One neuron with one output, for two classes (001_6d5271d093cc63ab.txt, perceptron). Its weights begin at 0.

    Args:
        channels: of the image.
        image_size: its side in pixels.
    """

    updates: Tensor
    """How many times the weights have changed, int64 (); part of the state, so that a run that continues counts on."""

    def __init__(self, channels: int, image_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels * image_size**2))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """The weighted sum, float (B, 1): positive for class 1."""
        return F.linear(images.flatten(1), self.weight, self.bias)
