"""Accuracy by class at home and abroad."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from dlrun.experiment.statistics import wilson
from dlrun.figure.slide import COLOURS, legend, slide
from dlrun.figure.text import shortened, verbatim

MOST = 30
"""Classes that are drawn, besides that of all."""


def abroad(names: Sequence[str], home: Sequence[tuple[int, int]], away: Sequence[tuple[int, int]]) -> Figure:
    """Draw accuracies with 95% intervals (Wilson).

    Args:
        names: of the classes; the first stands for all of them.
        home: of each, right answers and examples at home.
        away: the same abroad.
    """
    names, sides = names[: MOST + 1], (home[: MOST + 1], away[: MOST + 1])
    means = [right / total for right, total in (home[0], away[0])]
    figure, (plot,) = slide(f"Accuracy: {means[0]:.3f} on data like that of the training, {means[1]:.3f} abroad")
    for number, (label, counts) in enumerate(zip(("at home", "abroad"), sides, strict=True)):
        shares = [right / total for right, total in counts]
        ends = [wilson(*pair) for pair in counts]
        errors = [
            [share - low for share, (low, _) in zip(shares, ends, strict=True)],
            [high - share for share, (_, high) in zip(shares, ends, strict=True)],
        ]
        places = [place + (0.12 if number else -0.12) for place in range(len(names))]
        plot.errorbar(places, shares, errors, fmt="o^"[number], color=COLOURS[number], capsize=3, label=label)
    plot.axvline(0.5, color="0.7", linewidth=1)
    ticks = [verbatim(shortened(name, 1.2, 9)) for name in names]
    is_long = len(ticks) > 12 or max(map(len, ticks)) > 6
    plot.set_xticks(range(len(ticks)), ticks, rotation=45 if is_long else 0, ha="right" if is_long else "center")
    plot.set(xlabel="class", ylabel="accuracy, with its 95% interval", ylim=(-0.03, 1.03))
    plot.grid(alpha=0.3, axis="y")
    legend(figure, plot)
    return figure
