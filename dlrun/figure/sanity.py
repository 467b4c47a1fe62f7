"""The sanity check as a picture: rank correlations over the stages, and how one image's map changes."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.overlay import draw_image, draw_overlay

LINES = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito's colours, told apart by all kinds of colour vision
SHOWN = 6
"""The most stages of which the map is drawn."""


def randomization(
    stages: list[str], correlations: dict[str, list[float]], image: Tensor, maps: dict[str, list[Tensor]]
) -> Figure:
    """Draw the check.

    Args:
        stages: the layers in the order in which they lost their weights.
        correlations: of each explainer, a mean rank correlation with its first map for each stage.
        image: float (C, H, W) in [0,1].
        maps: of each explainer, the image's maps (h, w): the first, and that of each stage.
    """
    chosen = sorted({round(place * len(stages) / min(SHOWN, len(stages))) for place in range(SHOWN + 1)})
    chosen = [place for place in chosen if place <= len(stages)]
    figure = Figure(figsize=(max(8.0, 1.5 * (len(chosen) + 1)), 3.4 + 1.75 * len(maps)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.2, 1.75 * len(maps)]).flat
    axes = top.subplots()
    places = range(len(stages) + 1)
    for (name, values), colour, marker in zip(correlations.items(), LINES, "os^", strict=False):
        axes.plot(places, [1.0, *values], color=colour, marker=marker, label=name)
    axes.axhline(0, color="0.6", linewidth=1, linestyle=":")
    axes.set_xticks(places, ["trained", *stages], rotation=30, ha="right", rotation_mode="anchor")
    axes.set(ylabel="rank correlation\nwith the trained map", ylim=(-0.35, 1.08), title="weights drawn anew, top down")
    axes.legend(frameon=False)
    grid = bottom.subplots(len(maps), len(chosen) + 1, squeeze=False)
    for row, (name, series) in zip(grid, maps.items(), strict=True):
        draw_image(row[0], image)
        row[0].set_title(name, fontsize=9)
        for cell, place in zip(row[1:], chosen, strict=True):
            draw_overlay(cell, image, series[place])
            cell.axis("off")
            cell.set_title(["trained", *stages][place], fontsize=8)
    return figure
