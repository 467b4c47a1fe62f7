"""Several curves in one picture."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MOST = 12
"""Lines that get a label."""


def curves(axes: tuple[str, str], lines: dict[str, list[tuple[float, float]]], title: str = "") -> Figure:
    """Draw lines by label over common axes; logarithmic upwards where the values are positive and span a factor 50."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    plot = figure.subplots()
    for number, (label, points) in enumerate(lines.items()):
        style = "--" if number % 2 else "-"  # so that one shows through where two are the same
        plot.plot(*zip(*points, strict=True), style, label=label, marker="." if len(points) <= 40 else None)
    values = [y for points in lines.values() for _, y in points]
    if min(values) > 0 and max(values) > 50 * min(values):
        plot.set_yscale("log")
    plot.set(xlabel=axes[0], ylabel=axes[1], title=title)
    if all(x == int(x) for points in lines.values() for x, _ in points):
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.grid(alpha=0.3)
    if 1 < len(lines) <= MOST or (len(lines) == 1 and next(iter(lines))):
        plot.legend(fontsize=9)
    return figure
