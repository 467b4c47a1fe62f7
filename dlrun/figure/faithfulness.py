"""Whether a map shows what the model uses: beside a random map and an edge detector."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS, slide
from dlrun.figure.text import shortened, verbatim

MEASURES = ("deletion (lower is better)", "insertion (higher is better)", "insertion less deletion")


def faithfulness(title: str, measured: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw means with two standard errors.

    Args:
        title: says what is to be seen.
        measured: of each method deletion and insertion of its maps, floats in [0,1].
    """
    figure, plots = slide(title, 1, len(MEASURES), 3.6, sharey=True)
    for name, (deletion, insertion) in measured.items():
        for number, (plot, values) in enumerate(zip(plots, (deletion, insertion, insertion - deletion), strict=True)):
            error = 2 * float(values.std(correction=0)) / max(1, values.numel() - 1) ** 0.5
            mean = float(values.mean())
            plot.errorbar(
                [mean],
                [verbatim(shortened(name, 1.2, 10))],
                xerr=[error],
                fmt="o",
                color=COLOURS[number],
                capsize=5,
                markersize=8,
            )
    for plot, name in zip(plots, MEASURES, strict=True):
        plot.set(xlabel=name)
        plot.margins(y=0.2)
        plot.grid(alpha=0.3)
    plots[0].invert_yaxis()
    plots[0].set_ylabel("explainer")
    figure.supxlabel("area under the curve of the class's probability: mean and two standard errors", fontsize=10)
    return figure
