"""Noise in the place of an explanation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.explainer.explainer import Explainer


@dataclass
class Random(Explainer):
    """Uniform noise that knows neither model nor image: what any explainer must beat.

    Args:
        grid: the map's height and width; noise as coarse as the map that it is compared with.
        seed: of the noise.
    """

    grid: tuple[int, int] = (7, 7)
    seed: int = 0

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, *grid)."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(*classes.shape, *self.grid, generator=generator).to(images.device)
