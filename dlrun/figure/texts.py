"""Texts on a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from dlrun.figure.slide import COLOURS, WIDTH, sheet
from dlrun.figure.text import height, shortened, verbatim, wrapped
from dlrun.figure.text import width as text_width

EDGE, GAP, SIZE = 0.2, 0.1, 10
"""Inches around all and between texts; points of the letters."""
NAME = 1.9
"""Inches that a caption may take."""


def texts(title: str, written: Sequence[str], captions: Sequence[str], lines: int = 2) -> Figure:
    """Draw texts below each other, each beside its caption; of a long one its beginning.

    Args:
        title: says what is to be seen.
        written: the texts.
        captions: of each; those that are the same have one colour.
        lines: of each text, at most.
    """
    names = list(dict.fromkeys(captions))
    left = (
        EDGE
        + max((text_width(shortened(verbatim(name), NAME, SIZE), SIZE) for name in names), default=0.0) * 1.15
        + 0.15
    )
    made = [wrapped(verbatim(text), WIDTH - left - EDGE, SIZE, lines) for text in written]
    tall = [height(text, SIZE) + GAP for text in made]
    figure, axes, top = sheet(title, sum(tall) + GAP)
    for text, caption, space in zip(made, captions, tall, strict=True):
        style: dict[str, Any] = {"va": "top", "size": SIZE}
        colour = COLOURS[names.index(caption) % (len(COLOURS) - 2)]
        axes.text(EDGE, top, shortened(verbatim(caption), NAME, SIZE), color=colour, fontweight="bold", **style)
        axes.text(left, top, text, **style)
        top += space
    return figure


def neighbours(title: str, rows: Mapping[str, Sequence[tuple[str, float]]], of: Sequence[str] = ()) -> Figure:
    """Draw words, and beside each of them others with a number, such as the nearest ones with their likeness.

    Args:
        title: says what is to be seen.
        rows: by word, others in their order.
        of: what each of the words stands for, such as a class.
    """
    columns = 1 + bool(of) + max(len(others) for others in rows.values())
    wide = (WIDTH - 2 * EDGE) / columns
    line = height("x", SIZE) * 2 + 2 * GAP
    figure, axes, top = sheet(title, line * len(rows) + GAP)
    for number, (word, others) in enumerate(rows.items()):
        y = top + (number + 0.5) * line
        colour = COLOURS[number % (len(COLOURS) - 2)]
        style: dict[str, Any] = {"va": "center", "ha": "left"}
        if of:
            axes.text(EDGE, y, shortened(verbatim(of[number]), wide, SIZE), size=SIZE, color="0.35", **style)
        x = EDGE + wide * bool(of)
        axes.text(x, y, shortened(verbatim(word), wide - 0.1, 12), size=12, color=colour, fontweight="bold", **style)
        for place, (other, value) in enumerate(others, start=1):
            name = shortened(verbatim(other), wide - 0.1, SIZE)
            axes.text(x + place * wide, y, f"{name}\n{value:.2f}", size=SIZE, **style)
        if number:
            axes.plot([EDGE, WIDTH - EDGE], [y - line / 2] * 2, color="0.85", linewidth=0.8)
    return figure
