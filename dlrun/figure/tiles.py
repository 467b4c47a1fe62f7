"""Pictures side by side on one slide, each under its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from dlrun.figure.slide import BOLD, WIDTH, sheet
from dlrun.figure.text import height as text_height
from dlrun.figure.text import verbatim, wrapped
from dlrun.figure.text import width as text_width

EDGE, GAP, GROUP_GAP = 0.12, 0.07, 0.24
"""Inches around all, between pictures, and between groups of columns."""
TALLEST, NAME = 3.3, 1.25
"""Inches: the height of a picture, and the width of a row's name."""
ABREAST, MANY = (12, 8, 6, 5, 4), 32
"""Columns of pictures without another order; the most where there are more pictures than this."""


@dataclass(frozen=True)
class Tile:
    """One picture."""

    pixels: np.ndarray
    """Float (H, W) in grey or (H, W, 3) in colours, in [0,1]."""
    caption: str = ""
    colour: str = "black"
    """Of the caption."""


@dataclass(frozen=True)
class Bar:
    """What the colours of a range of values mean."""

    colours: str
    low: float
    high: float
    label: str


Key = dict[str, str]
"""What colours mean, by name."""


def picture(image: Tensor) -> np.ndarray:
    """The pixels of an image, uint8 (C, H, W) or float in [0,1], grey or RGB; other channels give their mean."""
    image = image.detach().cpu()
    image = image.float() if image.is_floating_point() else image / 255
    image = image if len(image) in (1, 3) else image.mean(dim=0, keepdim=True)
    return image.clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()


def coloured(values: Tensor, colours: str, low: float, high: float) -> np.ndarray:
    """The pixels of values (h, w), from ``low`` to ``high`` in the colours of a colour map of matplotlib."""
    shares = (values.detach().float().cpu() - low) / max(high - low, 1e-30)
    return np.asarray(colormaps[colours](shares.clamp(0, 1).numpy()))[..., :3]


def flow(made: Sequence[Tile]) -> list[list[Tile | None]]:
    """Rows of tiles that have no other order: eight to a row, more where there are many, fewer for long captions."""
    choices = ABREAST if len(made) > MANY else ABREAST[1:]
    columns = next((n for n in choices if all(_fits(tile.caption, n) for tile in made)), ABREAST[-1])
    columns = min(columns, -(-len(made) // (1 if len(made) < 4 else 2)))
    rows = [list[Tile | None](made[start : start + columns]) for start in range(0, len(made), columns)]
    return [row + [None] * (columns - len(row)) for row in rows]


def tiles(
    title: str,
    rows: Sequence[Sequence[Tile | None]],
    names: Sequence[str] = (),
    below: Sequence[Bar] | Key = (),
    group: int = 0,
) -> Figure:
    """Draw rows of pictures, all of the same width.

    Args:
        title: says what is to be seen.
        rows: with as many places each.
        names: of the rows, beside them.
        below: what the colours mean.
        group: a wider gap follows on every so many columns.
    """
    names = [wrapped(name, NAME, 10, lines=4) for name in names]
    left = EDGE + max((text_width(line, 10) + 0.1 for name in names for line in name.split("\n")), default=0)
    columns = len(rows[0])
    gaps = [GROUP_GAP if group and column % group == 0 else GAP for column in range(1, columns)]
    present = [tile for row in rows for tile in row if tile]
    tallest = max(tile.pixels.shape[0] / tile.pixels.shape[1] for tile in present)
    side = min((WIDTH - EDGE - left - sum(gaps)) / columns, TALLEST / min(tallest, 4))
    begin = left + (WIDTH - EDGE - left - sum(gaps) - columns * side) / 2
    lefts = [begin + column * side + sum(gaps[:column]) for column in range(columns)]
    size = caption_size(columns)
    texts = [[_caption(tile, side, size) for tile in row] for row in rows]
    heads = [max(text_height(text, size) for text in row) for row in texts]
    pictures = [max((side * min(_ratio(tile), 4) for tile in row if tile), default=0.0) for row in rows]
    legend = (_key_rows(below) * 0.26 if isinstance(below, dict) else 0.62) if below else 0.0
    figure, axes, top = sheet(title, sum(heads) + sum(pictures) + len(rows) * GAP * 1.5 + legend + 0.05)
    for place, row in enumerate(rows):
        upper = top + heads[place]
        for tile, text, start in zip(row, texts[place], lefts, strict=True):
            if tile:
                _draw(axes, tile, (start, upper, side, pictures[place]))
                style: dict[str, Any] = {
                    "color": tile.colour,
                    "fontweight": "normal" if tile.colour == "black" else "bold",
                }
                axes.text(
                    start + side / 2, upper - 0.03, text, ha="center", va="bottom", size=size, parse_math=False, **style
                )
        if names:
            middle = upper + pictures[place] / 2
            name = wrapped(names[place], NAME, 10, lines=max(1, int(pictures[place] / text_height("x", 10))))
            axes.text(begin - 0.1, middle, name, ha="right", va="center", size=10, parse_math=False)
        top = upper + pictures[place] + 1.5 * GAP
    if isinstance(below, dict):
        draw_key(axes, below, top)
    else:
        for number, bar in enumerate(below):
            _draw_bar(axes, bar, top, (number + 0.5) * WIDTH / len(below))
    return figure


def _caption(tile: Tile | None, side: float, size: float) -> str:
    """The lines of a caption; those in a colour are bold, and so wider."""
    return wrapped(tile.caption, side if tile.colour == "black" else side / BOLD, size) if tile else ""


def caption_size(columns: int) -> int:
    """Points of the captions in so many columns."""
    return 10 if columns <= 5 else 8


def _fits(caption: str, columns: int) -> bool:
    inches = (WIDTH - 2 * EDGE) / columns - GAP
    text = wrapped(caption, inches, caption_size(columns), lines=99)
    return text.count("\n") < 2 and "…" not in text


def _ratio(tile: Tile) -> float:
    return float(tile.pixels.shape[0] / tile.pixels.shape[1])


def _draw(axes: Axes, tile: Tile, box: tuple[float, float, float, float]) -> None:
    """A picture in the middle of a box (left, top, width, height), in a thin frame."""
    left, top, wide, tall = box
    height = min(wide * _ratio(tile), tall)
    width = height / _ratio(tile)
    left, top = left + (wide - width) / 2, top + (tall - height) / 2
    extent = (left, left + width, top + height, top)
    axes.imshow(tile.pixels, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto")
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="0.6", linewidth=0.5))


def _draw_bar(axes: Axes, bar: Bar, top: float, middle: float) -> None:
    """A range of colours with its ends and its middle, and what it means."""
    wide = 2.6
    left, right = middle - wide / 2, middle + wide / 2
    ramp = np.linspace(0, 1, 256)[None]
    axes.imshow(ramp, cmap=bar.colours, extent=(left, right, top + 0.18, top + 0.04), aspect="auto")
    for place, value in ((left, bar.low), (middle, (bar.low + bar.high) / 2), (right, bar.high)):
        axes.text(place, top + 0.21, f"{value:.3g}".replace("-", "\N{MINUS SIGN}"), ha="center", va="top", size=9)
    axes.text(middle, top + 0.37, bar.label, ha="center", va="top", size=10)


def _key_columns(key: Key) -> int:
    return max(1, min(len(key), int((WIDTH - 2 * EDGE) / (max(text_width(name, 10) for name in key) + 0.65))))


def _key_rows(key: Key) -> int:
    return -(-len(key) // _key_columns(key))


def draw_key(axes: Axes, key: Key, top: float) -> None:
    """Patches of colours with their names, from a height in inches downwards."""
    handles = [Patch(facecolor=colour, edgecolor="0.5", label=verbatim(name)) for name, colour in key.items()]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(WIDTH / 2, top),
        bbox_transform=axes.transData,
        ncols=_key_columns(key),
        frameon=False,
        borderaxespad=0,
    )
