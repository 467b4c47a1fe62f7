"""A grid of images with captions."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.tiles import Tile, flow, picture, tiles


def image_grid(title: str, images: Tensor, captions: Sequence[str]) -> Figure:
    """Draw images, uint8 (N, C, H, W) or float in [0,1], each under its caption."""
    made = [Tile(picture(image), caption) for image, caption in zip(images, captions, strict=True)]
    return tiles(title, flow(made))
