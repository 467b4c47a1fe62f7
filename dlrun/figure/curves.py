"""Curves over steps."""

from __future__ import annotations

from matplotlib.figure import Figure

MOST = 12
"""Curves that get a name."""


def curves(values: dict[str, list[float]], x: str, y: str) -> Figure:
    """Draw a line for each series of values, the first of each at 0."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, series in values.items():
        axes.plot(series, label=name.split("/")[-1])
    axes.set(xlabel=x, ylabel=y)
    if len(values) <= MOST:
        axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure
