"""Rows of images below each other."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.tiles import Tile, picture, tiles


def image_rows(title: str, rows: Mapping[str, Tensor]) -> Figure:
    """Draw rows of images, each float (n, C, H, W) in [0,1] with the same n, beside their names."""
    return tiles(title, [[Tile(picture(image)) for image in images] for images in rows.values()], list(rows))
