"""Explanations before and after an attack."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.overlay import EVIDENCE, enlarged, overlaid
from dlrun.figure.slide import CHANGE, STRIKING
from dlrun.figure.tiles import Bar, Tile, coloured, picture, tiles

ABREAST = 3
"""The most rows before they are put side by side, in two halves."""
HEADS = ("clean: ", "evidence for ", "attacked: ", "evidence for ", "")


def attacked(
    images: Sequence[Tensor], maps: Sequence[Tensor], captions: list[list[str]], fooled: list[bool], title: str
) -> Figure:
    """Draw each image, its map, the attacked image, its map, and the change of the map.

    The change is that of the maps as they are drawn, each from 0 to its own maximum: -1 to 1, with white for none.

    Args:
        images: clean and attacked, float (N, C, H, W) in [0,1].
        maps: of the clean and of the attacked images, float (N, h, w), 0 or more.
        captions: for each image to draw, what stands under its five heads.
        fooled: whether the attack changed what the model sees.
        title: above all.
    """
    size = (images[0].shape[2], images[0].shape[3])
    made: list[list[Tile | None]] = []
    for number, texts in enumerate(captions):
        before, after = (enlarged(one[number], size) for one in maps)
        pixels = [
            picture(images[0][number]),
            overlaid(images[0][number], maps[0][number]),
            picture(images[1][number]),
            overlaid(images[1][number], maps[1][number]),
            coloured(after - before, CHANGE, -1, 1),
        ]
        colours = ["black", "black", STRIKING if fooled[number] else "black", "black", "black"]
        heads = (head + text for head, text in zip(HEADS, texts, strict=True))
        made.append([Tile(*parts) for parts in zip(pixels, heads, colours, strict=True)])
    if len(made) > ABREAST:
        half = -(-len(made) // 2)
        made += [[None] * len(HEADS)] * (2 * half - len(made))
        made = [left + right for left, right in zip(made[:half], made[half:], strict=True)]
    bars = (EVIDENCE, Bar(CHANGE, -1, 1, "change after the attack"))
    return tiles(f"{title}; orange: fooled" if any(fooled) else title, made, below=bars, group=len(HEADS))
