"""Explanations before and after an attack."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.overlay import COLOURS, draw_image, draw_overlay, enlarged

CHANGE = "RdBu_r"
"""Of the change: told apart by all kinds of colour vision, white in the middle."""
FOOLED = "#D55E00"
"""Okabe and Ito's vermilion, for what the model sees in an image that fooled it."""
ABREAST = 3
"""The most rows before they are put side by side, in two halves."""
HEADS = ("clean", "evidence for", "attacked", "evidence for", "change")


def attacked(
    images: Sequence[Tensor], maps: Sequence[Tensor], captions: list[list[str]], fooled: list[bool], title: str
) -> Figure:
    """Draw each image, its map, the attacked image, its map, and the change of the map, as wide as a slide.

    The change is that of the maps as they are drawn, each from 0 to its own maximum: -1 to 1, with white for none.

    Args:
        images: clean and attacked, float (N, C, H, W) in [0,1].
        maps: of the clean and of the attacked images, float (N, h, w), 0 or more.
        captions: for each image to draw, what stands under its five heads.
        fooled: whether the attack changed what the model sees.
        title: above all.
    """
    height, width = images[0].shape[2:]
    halves = 1 if len(captions) <= ABREAST else 2
    rows = -(-len(captions) // halves)
    side, size = (1.8, 12) if halves == 1 else (1.2, 10)  # inches, points
    texts = [[textwrap.fill(text, int(140 * side / size)) for text in texts] for texts in captions]
    lines = 2 + max(text.count("\n") for row in texts for text in row)
    tall = rows * (side * height / width + 0.1 + lines * size / 60)
    figure = Figure(figsize=(5.4 * side * halves + 0.4, tall + 1.1), layout="constrained")
    figure.suptitle(f"{title} (orange: fooled)" if any(fooled) else title, fontsize=14, fontweight="bold")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[tall, 0.6]).flat
    parts = top.subfigures(1, halves, squeeze=False, wspace=0.02)
    cells = [part.subplots(rows, 5, squeeze=False) for part in parts.flat]
    for axes in (axes for half in cells for axes in half.flat):
        axes.axis("off")
    for number, own_texts in enumerate(texts):
        own = cells[number // rows][number % rows]
        for place in range(2):
            image, map = images[place][number], maps[place][number]
            draw_image(own[2 * place], image)
            draw_overlay(own[2 * place + 1], image, map)
        before, after = (enlarged(one[number], (height, width)) for one in maps)
        own[4].imshow((after - before).numpy(), cmap=CHANGE, vmin=-1, vmax=1)
        own[4].set(xticks=[], yticks=[])
        own[4].axis("on")  # a frame: most of it may be white
        most = max(text.count("\n") for text in own_texts)
        for axes, head, text in zip(own, HEADS, own_texts, strict=True):
            below = "\n" * (most - text.count("\n"))  # so that the heads are at one height
            axes.set_title(f"{head}\n{text}{below}", fontsize=size)
        if fooled[number]:
            own[2].title.set(color=FOOLED, fontweight="bold")
    legends = ((COLOURS, 0, "evidence for the class"), (CHANGE, -1, "change after the attack"))
    for axes, (colours, low, label) in zip(bottom.subplots(1, 2).flat, legends, strict=True):
        bar = bottom.colorbar(ScalarMappable(Normalize(low, 1), colours), cax=axes, orientation="horizontal")
        bar.set_label(label, fontsize=12)
        bar.set_ticks([low, (low + 1) / 2, 1])
    return figure
