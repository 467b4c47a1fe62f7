"""Weights that lie on an image's pixels, as pictures."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from torch import Tensor


def weights(weights: Tensor, titles: list[str], title: str) -> Figure:
    """Draw weights (n, C, h, w) of one or three channels.

    One channel is red where it is above 0 and blue below, on one scale for all. Three are colours, each filter in its
    own range around grey; of other numbers of channels the mean is drawn.
    """
    count, channels = weights.shape[:2]
    columns = min(8 if count > 10 else 5, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(1.5 * columns + 0.8, 1.7 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, columns, squeeze=False)
    largest = weights.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    picture = None
    for place, axes in enumerate(grid.flat):
        axes.axis("off")
        if place >= count:
            continue
        axes.set_title(titles[place], fontsize=9)
        if channels == 3:
            axes.imshow((weights[place] / largest[place] / 2 + 0.5).permute(1, 2, 0).numpy(), interpolation="nearest")
        else:
            limit = float(largest.max())
            picture = axes.imshow(weights[place].mean(dim=0).numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    if picture is not None:
        figure.colorbar(picture, ax=grid, shrink=0.8, label="weight")
    return figure
