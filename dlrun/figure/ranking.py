"""Pictures, each beside its most probable classes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS, slide
from dlrun.figure.text import shortened, verbatim
from dlrun.figure.tiles import picture

Ranked = tuple[Sequence[str], Sequence[float], str | None]
"""Of one picture: the names of classes, the most probable first, their scores, and which of them it is, if known."""


def ranking(title: str, images: Tensor, ranked: Sequence[Ranked]) -> Figure:
    """Draw each image, float (N, C, H, W) in [0,1], and bars as long as the raw scores of its classes.

    The class that the image is of has another colour.
    """
    columns = min(2, len(ranked))
    rows = -(-len(ranked) // columns)
    tallest = max(1.6, 0.16 * max(len(names) for names, _, _ in ranked) + 0.3)
    figure, axes = slide(title, rows, 2 * columns, 0.7 + rows * tallest, width_ratios=[1, 1.1] * columns)
    for plot in axes:
        plot.set_axis_off()
    for number, (image, (names, scores, own)) in enumerate(zip(images, ranked, strict=True)):
        shown, plot = axes[2 * number : 2 * number + 2]
        shown.imshow(picture(image), cmap="gray", vmin=0, vmax=1)
        if own is not None:
            shown.set_title(verbatim(shortened(own, 2.0, 10)), size=10)
        plot.set_axis_on()
        places = range(len(names))
        plot.barh(places, scores, color=[COLOURS[1] if name == own else COLOURS[0] for name in names])
        plot.set_yticks(places, [verbatim(shortened(name, 1.2, 8)) for name in names], size=8)
        plot.tick_params(axis="x", labelsize=8)
        plot.set_xlabel("raw score (logit)", fontsize=8)
        plot.set_ylabel("class", fontsize=8)
        plot.invert_yaxis()
    return figure
