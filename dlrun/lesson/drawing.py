"""What several lessons draw: a signal as steps of a bar chart, and images in a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlrun.figure.slide import COLOURS, WIDTH, slide


def signal(axes: Axes, values: Sequence[float], title: str, colour: str | Sequence[str] = COLOURS[0]) -> None:
    """Draw a short 1-D signal, a bar with its value for each sample, in one colour or in several."""
    drawn = axes.bar(range(len(values)), values, color=colour, width=0.8)
    axes.bar_label(drawn, [f"{value:g}" for value in values], padding=2)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title)


def pictures(title: str, images: Mapping[str, np.ndarray], columns: int, limit: float | None = None) -> Figure:
    """Draw images under their names, row by row.

    Args:
        title: of the figure.
        images: by name; (H, W, 3) in [0,1]; or (H, W), in shades of grey from 0 to 1 where no value is negative, else
            from blue over white to red, one scale for all.
        columns: of the grid.
        limit: of the scale from blue to red; None for the largest absolute value.
    """
    rows = math.ceil(len(images) / columns)
    high, wide = max((image.shape[:2] for image in images.values()), key=lambda shape: shape[0] / shape[1])
    height = 0.4 + rows * (WIDTH / columns * high / wide + 0.25)
    figure, plots = slide(title, rows, columns, height)
    signed = [image for image in images.values() if image.ndim == 2 and image.min() < 0]
    limit = limit or max((float(np.abs(image).max()) for image in signed), default=1.0)
    for axes in plots:
        axes.axis("off")
    for axes, (name, image) in zip(plots, images.items(), strict=False):
        if image.ndim == 2 and image.min() < 0:
            axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        else:
            axes.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, fontsize=10)
    return figure
