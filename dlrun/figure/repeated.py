"""A metric of the jobs of a sweep: its mean over seeds with an interval, against what is swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from dlrun.figure.slide import COLOURS, legend, slide

MARKERS = "osD^vP*X"
Interval = tuple[float, float]
"""A mean, and half the width of its interval; 0 where there is one seed alone."""
Lines = Mapping[str, Mapping[str, Interval]]
"""Lines by their label, points by the value of the key that is the axis."""


def repeated(metric: str, axis: str, places: Sequence[str], panels: Mapping[str, Lines]) -> Figure:
    """Draw a line for each setting over the values of a swept key, which are set apart evenly.

    Args:
        metric: what is drawn, such as ``test/accuracy``.
        axis: the key.
        places: its values, in order.
        panels: what is drawn side by side, by title.
    """
    points = [point for lines in panels.values() for line in lines.values() for point in line.values()]
    several = any(half for _, half in points)
    words = metric.replace("_", " ").replace("/", " ")
    how = ": mean over seeds, 95% interval" if several else ""
    figure, plots = slide(f"{words.capitalize()} against {axis}{how}", columns=len(panels), sharey=True)
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    for plot, (name, lines) in zip(plots, panels.items(), strict=True):
        for label, line in lines.items():
            number, there = labels.index(label), [value for value in places if value in line]
            plot.errorbar(
                [places.index(value) + 0.06 * (number - (len(labels) - 1) / 2) for value in there],
                [line[value][0] for value in there],
                [line[value][1] for value in there] if several else None,
                color=COLOURS[number % len(COLOURS)],
                linestyle="-" if number < len(COLOURS) else "--",
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                capsize=3,
                label=label,
            )
        plot.set_xticks(range(len(places)), places)
        plot.set(title=name, xlabel=axis)
        plot.grid(alpha=0.3)
    means = [mean for mean, _ in points]
    if min(means) > 0 and max(means) > 50 * min(means):
        plots[0].set_yscale("log")
    plots[0].set_ylabel(words)
    if len(labels) > 1:
        legend(figure, plots[0], "right")
    return figure
