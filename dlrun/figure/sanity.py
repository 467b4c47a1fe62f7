"""The sanity check as two pictures: rank correlations over the stages, and how one image's map changes."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.overlay import EVIDENCE, overlaid
from dlrun.figure.slide import MARKERS, legend, slide
from dlrun.figure.text import shortened, verbatim
from dlrun.figure.tiles import Tile, picture, tiles

SHOWN = 6
"""The most stages of which the map is drawn."""


def randomization(stages: list[str], correlations: dict[str, list[float]]) -> Figure:
    """Draw how alike the maps stay.

    Args:
        stages: the layers in the order in which they lost their weights.
        correlations: of each explainer, a mean rank correlation with its first map for each stage.
    """
    method, values = next(iter(correlations.items()))
    end = f"{values[-1]:.2f}".replace("-", "\N{MINUS SIGN}")
    figure, (axes,) = slide(f"Layers drawn anew, top down: the maps of {method} end at correlation {end}")
    for (name, values), marker in zip(correlations.items(), MARKERS, strict=False):
        axes.plot(range(len(stages) + 1), [1.0, *values], marker=marker, linewidth=2, label=name)
    axes.axhline(0, color="0.4", linewidth=1, linestyle=":", label="nothing in common")
    step = -(-len(stages) // 24)
    places = range(0, len(stages) + 1, step)
    names = [verbatim(shortened(name, 1.4, 10)) for name in ["trained", *stages][::step]]
    axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set(xlabel="the last layer whose weights are drawn anew", ylabel="rank correlation\nwith the trained map")
    axes.set_ylim(min(-0.08, *(value - 0.08 for values in correlations.values() for value in values)), 1.08)
    axes.grid(alpha=0.3)
    legend(figure, axes)
    return figure


def randomized_maps(stages: list[str], image: Tensor, maps: dict[str, list[Tensor]]) -> Figure:
    """Draw how one image's map changes.

    Args:
        stages: the layers in the order in which they lost their weights.
        image: float (C, H, W) in [0,1].
        maps: of each explainer, the image's maps (h, w): the first, and that of each stage.
    """
    chosen = sorted({round(place * len(stages) / min(SHOWN, len(stages))) for place in range(SHOWN + 1)})
    chosen = [place for place in chosen if place <= len(stages)]
    captions = ["image", "trained", *(f"{name} and above random" for name in stages)]
    rows: list[list[Tile | None]] = [
        [Tile(picture(image), heads[0]), *(Tile(overlaid(image, series[place]), heads[1 + place]) for place in chosen)]
        for series, heads in zip(maps.values(), [captions] + [[""] * len(captions)] * (len(maps) - 1), strict=True)
    ]
    return tiles("A map that explains the network must change with its weights", rows, list(maps), [EVIDENCE])
