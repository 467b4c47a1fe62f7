"""Normalisation as the first layer of a model, so that pixels are in [0,1] everywhere outside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn


class Normalized(nn.Module):
    """A network behind the layer ``(x - mean) / std``.

    The state dict of ``network`` alone is what dlrun saves: mean and std are the dataset's, and weights trained
    elsewhere fit without renaming.

    Args:
        network: takes normalised inputs, float (B, C, H, W), (B, C, L) or (B, C).
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
            self.register_buffer(name, torch.tensor(values).float().view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for inputs in [0,1]."""
        output: Tensor = self.network(self.normalize(images))
        return output

    def normalize(self, inputs: Tensor) -> Tensor:
        """Inputs (B, C, ...) in [0,1] as the network takes them."""
        return scaled(inputs, self.mean, self.std) if self.normalizes else inputs


@fx.wrap
def scaled(inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Inputs (B, C, ...) less their channels' mean, (C, 1, 1), over their deviation; one node to a tracer."""
    if inputs.ndim != 4:
        shape = (-1, *[1] * (inputs.ndim - 2))
        mean, std = mean.view(shape), std.view(shape)
    return (inputs - mean).div_(std)
