"""Several curves in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlrun.figure.slide import COLOURS, MARKERS, legend, slide

MOST = 12
"""Lines that get a label; of more, so many of them."""
FAR = 50
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""


def curves(
    title: str,
    axes: tuple[str, str],
    lines: Mapping[str, Sequence[tuple[float, float]]],
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Draw lines by label over common axes, in colours from dark to light where there are many.

    Args:
        title: says what is to be seen.
        axes: what the axes are, with their units.
        lines: points (x, y) by label; one line may have an empty one.
        intervals: half the width of an interval of each y, by label.
    """
    figure, (plot,) = slide(title)
    many = len(lines) >= len(COLOURS)
    ramp = colormaps["viridis"].resampled(len(lines))
    step = -(-len(lines) // MOST)
    for number, (label, points) in enumerate(lines.items()):
        x, y = zip(*points, strict=True)
        few = len(points) <= 40
        plot.errorbar(
            x,
            y,
            (intervals or {}).get(label),
            color=ramp(number) if many else COLOURS[number],
            linestyle="--" if number % 2 else "-",  # so that one shows through where two are the same
            marker=MARKERS[number % len(MARKERS)] if few else "",
            markersize=5,
            linewidth=2 if few else 1.2,
            capsize=4,
            label=label if number % step == 0 and label else "_",
        )
    every = [point for points in lines.values() for point in points]
    for values, scale in zip(zip(*every, strict=True), (plot.set_xscale, plot.set_yscale), strict=True):
        is_x = scale == plot.set_xscale
        if min(values) > 0 and max(values) > FAR * min(values) and not (is_x and len(set(values)) > 40):
            scale("log")
    plot.set(xlabel=axes[0], ylabel=axes[1])
    if plot.get_xscale() == "linear" and all(x == int(x) for x, _ in every):
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.grid(alpha=0.3)
    if any(lines):
        legend(figure, plot)
    return figure
