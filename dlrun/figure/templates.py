"""The weights of a linear classifier as images."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from torch import Tensor


def templates(weights: Tensor, classes: list[str]) -> Figure:
    """Draw weights (K, H, W), a picture for each class: red speaks for it, blue against it, on one scale for all."""
    columns = min(5, len(classes))
    rows = math.ceil(len(classes) / columns)
    figure = Figure(figsize=(1.6 * columns + 0.8, 1.8 * rows), layout="constrained")
    limit = float(weights.abs().max())
    plots = figure.subplots(rows, columns, squeeze=False)
    for axes in plots.flat:
        axes.axis("off")
    for axes, weight, name in zip(plots.flat, weights.cpu(), classes, strict=False):
        picture = axes.imshow(weight, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(name)
    figure.colorbar(picture, ax=plots, label="weight", shrink=0.8)
    return figure
