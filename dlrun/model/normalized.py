"""Normalisation as the first layer of a model, so that pixels are in [0,1] everywhere outside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """A network behind the layer ``(x - mean) / std``.

    The state dict of ``network`` alone is what dlrun saves: mean and std are the dataset's, and weights trained
    elsewhere fit without renaming.

    Args:
        network: takes normalised images, float (B, C, H, W).
        mean: per channel, of pixels in [0,1]; None for no normalisation.
        std: per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        super().__init__()
        self.network = network
        self.normalizes = mean is not None and std is not None
        for name, values in (("mean", mean or (0.0,)), ("std", std or (1.0,))):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for images in [0,1]."""
        output: Tensor = self.network(self.normalize(images))
        return output

    def normalize(self, images: Tensor) -> Tensor:
        """What the network gets for images in [0,1]."""
        return (images - self.mean).div_(self.std) if self.normalizes else images
