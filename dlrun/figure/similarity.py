"""How well texts fit images."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

from dlrun.figure.slide import CHANGE, STRIKING, slide
from dlrun.figure.text import shortened, verbatim
from dlrun.figure.tiles import picture

TITLE = "How well each text fits each image: the cosine of their vectors"
SIDE = 0.5
"""Inches of an image."""


def similarity(images: Tensor, texts: Sequence[str], held_out: Tensor, cosines: Tensor) -> Figure:
    """Draw the similarities of some texts and images as a matrix, a row for each text.

    Args:
        images: float (N, C, H, W) in [0,1].
        texts: of each image.
        held_out: whether no training image showed this, bool (N,); such texts are in another colour.
        cosines: of texts and images, float (N, N) in [-1,1].
    """
    count = len(images)
    title = TITLE + ("\nin orange what was never trained on" if bool(held_out.any()) else "")
    figure, (axes,) = slide(title, height=1.6 + 0.45 * count)
    drawn = axes.imshow(cosines.numpy(), cmap=CHANGE, vmin=-1, vmax=1, aspect="auto")
    figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.02).set_label("cosine")
    axes.set_yticks(range(count), [verbatim(shortened(text, 3, 10)) for text in texts])
    axes.set_xticks([])
    axes.set_ylabel("text")
    for label, is_new in zip(axes.get_yticklabels(), held_out.tolist(), strict=True):
        label.set_color(STRIKING if is_new else "black")
    for row, values in enumerate(cosines.tolist()):
        for column, value in enumerate(values):
            colour = "white" if abs(value) > 0.6 else "black"
            text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    for column, image in enumerate(images):
        zoom = SIDE * 72 / image.shape[-1]
        shown = OffsetImage(picture(image), zoom=zoom, cmap="gray", interpolation="nearest")
        axes.add_artist(
            AnnotationBbox(
                shown,
                (column, -0.5),
                (0, SIDE * 36 + 4),
                "data",
                boxcoords="offset points",
                frameon=False,
                box_alignment=(0.5, 0.5),
            )
        )
    return figure
