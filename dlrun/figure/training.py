"""The course of a training: what was measured in every epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

LOOKS = {"train": {"color": "#0072B2", "linestyle": "-"}, "val": {"color": "#D55E00", "linestyle": "--"}}
"""Of the splits: Okabe and Ito's colours, told apart by all kinds of colour vision, and in grey by their strokes."""
COLUMNS = 3
Curve = Sequence[tuple[float, float]]


def training(curves: Mapping[str, Mapping[str, Curve]], best: int | None = None) -> Figure:
    """Draw one plot for each quantity, the curves of training and validation in it.

    Args:
        curves: points (epoch, value) by quantity and split, such as ``loss`` and ``train``; one quantity at least.
        best: the epoch whose weights were chosen.
    """
    columns = min(COLUMNS, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows), layout="constrained")
    plots = list(figure.subplots(rows, columns, squeeze=False).flat)
    for plot, (name, splits) in zip(plots, curves.items(), strict=False):
        for split, points in splits.items():
            marker = "." if len(points) <= 40 else None
            plot.plot(*zip(*points, strict=True), **LOOKS[split], marker=marker, label=split)
        values = [y for points in splits.values() for _, y in points]
        if "loss" in name and min(values) > 0 and max(values) > 50 * min(values):
            plot.set_yscale("log")
        if best is not None:
            plot.axvline(best, color="0.6", linewidth=1, linestyle=":", label="best")
        plot.set(title=name.replace("_", " "), xlabel="epoch")
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.grid(alpha=0.3)
        plot.legend(fontsize=9)
    for plot in plots[len(curves) :]:
        plot.axis("off")
    return figure
