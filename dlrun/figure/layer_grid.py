"""Small images in rows, a row for each layer."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.overlay import draw_image

COLUMNS = 5
"""Of a single row that is broken into several."""


def layer_grid(rows: dict[str, Tensor], titles: list[list[str]], image: Tensor | None = None) -> Figure:
    """Draw images (n, C, H, W) in [0,1] under their titles, a row for each layer, and an image above all.

    A single row is broken into several of five.
    """
    if len(rows) == 1 and image is None:
        (images,) = rows.values()
        columns, labels = min(COLUMNS, len(images)), titles[0]
        height = math.ceil(len(images) / columns)
        cells = [(place // columns, place % columns, one, labels[place]) for place, one in enumerate(images)]
        names = [""] * height
    else:
        columns = max(len(images) for images in rows.values())
        first = 0 if image is None else 1
        cells = [] if image is None else [(0, 0, image, "image")]
        for number, (images, labels) in enumerate(zip(rows.values(), titles, strict=True), first):
            cells += [(number, place, one, labels[place].split(":")[-1]) for place, one in enumerate(images)]
        names = [""] * first + list(rows)
        height = len(names)
    figure = Figure(figsize=(1.7 * columns + 0.8, 1.95 * height + 0.1), layout="constrained")
    grid = figure.subplots(height, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, column, one, title in cells:
        draw_image(grid[row, column], one)
        grid[row, column].set_title(title, fontsize=10)
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.text(-0.08, 0.5, name, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=10)
    return figure
