"""The course of a training: what was measured in every epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlrun.figure.slide import COLOURS, legend, slide
from dlrun.figure.text import wrapped

LOOKS: dict[str, dict[str, Any]] = {
    "train": {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    "val": {"color": COLOURS[1], "linestyle": "--", "marker": "s"},
}
"""Of the splits: by colour, and in grey by their strokes."""
NAMES = {"train": "training", "val": "validation"}
UNITS = {
    "accuracy": "accuracy (share that is right)",
    "loss": "loss (mean of an example)",
    "mean_iou": "mean IoU (0 to 1)",
    "nll": "negative log-likelihood (nats)",
}
"""Of the quantities, for the axes; others have their names alone."""
Curve = Sequence[tuple[float, float]]


def training(curves: Mapping[str, Mapping[str, Curve]], best: int | None = None) -> Figure:
    """Draw one plot for each quantity, the curves of training and validation in it.

    Args:
        curves: points (epoch, value) by quantity and split, such as ``loss`` and ``train``; one quantity at least.
        best: the epoch whose weights were chosen.
    """
    columns = min(len(curves), 2 if len(curves) <= 4 else 3)
    rows = math.ceil(len(curves) / columns)
    names = " and ".join(name.replace("_", " ") for name in curves) if len(curves) <= 2 else "all measurements"
    chosen = "" if best is None else f" (epoch {best} is kept)"
    figure, plots = slide(f"Course of the training: {names}{chosen}", rows, columns, 4.5 if rows == 1 else 2.7 * rows)
    for plot, (name, splits) in zip(plots, curves.items(), strict=False):
        for split, points in splits.items():
            size = 4 if len(points) <= 40 else 0
            plot.plot(*zip(*points, strict=True), **LOOKS[split], markersize=size, linewidth=2, label=NAMES[split])
        values = [y for points in splits.values() for _, y in points]
        if "loss" in name and min(values) > 0 and max(values) > 50 * min(values):
            plot.set_yscale("log")
        if best is not None:
            plot.axvline(best, color="0.4", linewidth=1, linestyle=":", label="epoch that is kept")
        plot.set(xlabel="epoch", ylabel=wrapped(UNITS.get(name, name.replace("_", " ")), 2.2, 10))
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.grid(alpha=0.3)
    legend(figure, max(plots[: len(curves)], key=lambda plot: len(plot.lines)))
    for plot in plots[len(curves) :]:
        plot.axis("off")
    return figure
