"""What makes images of noise."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Generative(Protocol):
    """A network that makes images."""

    noise_shape: tuple[int, ...]
    """Of the noise that an image is made of."""

    def generate(self, noise: Tensor) -> Tensor:
        """Images, float (B, C, H, W) in [0,1], of noise (B, *noise_shape) that is normal with deviation 1."""


@runtime_checkable
class Conditional(Generative, Protocol):
    """A network that makes images of the class that it is asked for."""

    num_classes: int
    """The classes that it knows."""

    def generate(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """Images as of any generator, of these classes, int64 (B,); None takes all classes in turn."""


def noise(network: Generative, count: int, seed: int) -> Tensor:
    """Noise for so many images, on the CPU, so that every device makes the same."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(count, *network.noise_shape, generator=generator, device="cpu")
