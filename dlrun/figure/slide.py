"""The one format of all figures: 1600 pixels wide, with a title, colours that everybody can tell apart."""

from __future__ import annotations

from typing import Any

from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0
"""Inches. Matplotlib's font of 10 points is then as large as one of 17 on a slide of 13.3 inches."""
DPI = 200
"""Dots per inch."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Okabe and Ito, Color Universal Design, 2008, the strongest first."""


def slide(
    title: str, rows: int = 1, columns: int = 1, height: float = 4.5, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row.

    Args:
        title: says what is to be seen.
        rows: of axes.
        columns: of axes.
        height: inches.
        options: of :meth:`matplotlib.figure.Figure.subplots`.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, **options).flatten().tolist()
    for each in axes:
        each.set_prop_cycle(cycler(color=COLOURS))
    return figure, axes
