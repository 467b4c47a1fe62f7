"""Accuracy against the size of the perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dlrun.experiment.statistics import wilson
from dlrun.figure.slide import MARKERS, legend, slide
from dlrun.figure.text import NORMS


def curve(
    title: str, eps: Sequence[float], accuracies: Mapping[str, Sequence[float]], examples: int, norm: str
) -> Figure:
    """Draw one line for each name, with 95% intervals (Wilson); between two is what nobody knows.

    Args:
        title: says what is to be seen.
        eps: radii, ascending.
        accuracies: by name, as fractions; with two, such as attacked and certified, the area between them is shaded.
        examples: of which they are fractions.
        norm: of the radii, for the label.
    """
    figure, (axes,) = slide(title)
    # The second line is dashed, with smaller marks, so that both are seen where they are the same.
    for (name, values), style, marker, size in zip(accuracies.items(), ("-", "--"), MARKERS, (9, 5), strict=False):
        ends = [wilson(round(value * examples), examples) for value in values]
        below = [value - low for value, (low, _) in zip(values, ends, strict=True)]
        above = [high - value for value, (_, high) in zip(values, ends, strict=True)]
        axes.errorbar(
            eps, values, [below, above], fmt=style + marker, linewidth=2, markersize=size, capsize=4, label=name
        )
    if len(accuracies) == 2:
        first, second = accuracies.values()
        axes.fill_between(eps, first, second, alpha=0.2, color="gray", linewidth=0, label="not known")
    axes.set(
        xlabel=rf"largest change $\epsilon$ of an image ({NORMS[norm]}, pixels in 0 to 1)",
        ylabel="accuracy, with 95% interval",
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.grid(alpha=0.3)
    legend(figure, axes)
    return figure
