"""Small images in rows, a row for each layer."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.tiles import Tile, flow, picture, tiles


def layer_grid(title: str, rows: dict[str, Tensor], captions: list[list[str]], image: Tensor | None = None) -> Figure:
    """Draw images (n, C, H, W) in [0,1] under their captions, a row for each layer, and an image before all.

    A single row is broken into several.
    """
    made: list[list[Tile | None]] = [
        [Tile(picture(one), text) for one, text in zip(images, texts, strict=True)]
        for images, texts in zip(rows.values(), captions, strict=True)
    ]
    if len(made) == 1 and image is None:
        return tiles(title, flow([tile for tile in made[0] if tile]))
    columns = max(map(len, made))
    made = [row + [None] * (columns - len(row)) for row in made]
    if image is not None:
        first = Tile(picture(image), "image")
        made = [[None if number else first, *row] for number, row in enumerate(made)]
    return tiles(title, made, list(rows))
