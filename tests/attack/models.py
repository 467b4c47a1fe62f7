"""Small models on random images, for tests of attacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.model.normalized import Normalized

CLASSES = 4


def images(count: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth random images (count, 1, 8, 8), and the classes that :func:`model` gives them."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 1, 8, 8, generator=generator)
    with torch.no_grad():
        return pixels, model()(pixels).argmax(dim=1)


def model(seed: int = 0) -> Normalized:
    """An untrained network with logits that vary enough to be fooled."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, CLASSES)]
        return Normalized(nn.Sequential(*layers), [0.5], [0.05]).eval()


class Through(nn.Module):
    """A model behind a function of its images, or before one of its logits."""

    def __init__(self, inside: nn.Module, before: nn.Module | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.inside, self.before, self.scale = inside, before or nn.Identity(), scale

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.inside(self.before(pixels)) * self.scale
        return logits


class Rounded(nn.Module):
    """Pixels in steps: the gradient is zero everywhere."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels * 16).round() / 16
