"""What several lessons draw: a short signal."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dlrun.figure.slide import COLOURS


def signal(axes: Axes, values: Sequence[float], title: str, colour: str | Sequence[str] = COLOURS[0]) -> None:
    """Draw a short 1-D signal, a bar with its value for each sample, in one colour or in several."""
    drawn = axes.bar(range(len(values)), values, color=colour, width=0.8)
    axes.bar_label(drawn, [f"{value:g}" for value in values], padding=2)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title)
