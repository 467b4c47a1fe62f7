"""The one format of all figures: 1600 pixels wide, with a title, colours that everybody can tell apart."""

from __future__ import annotations

import io
from typing import Any, Literal

from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from dlrun.figure.text import height as text_height
from dlrun.figure.text import shortened, verbatim, wrapped
from dlrun.figure.text import width as text_width

WIDTH = 8.0
"""Inches. Matplotlib's font of 10 points is then as large as one of 17 on a slide of 13.3 inches."""
DPI = 200
"""Dots per inch."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Okabe and Ito, Color Universal Design, 2008, the strongest first."""
COMPRESSION = 3
"""Of PNG files: a sixth larger than by Pillow's default, in a third of the time."""
MARKERS = "os^DvPX*"
"""Beside the colours, for those who see none."""
CHANGE = "RdBu_r"
"""Colours of what is above and below 0: told apart by all kinds of colour vision, white in the middle."""
STRIKING = COLOURS[1]
"""Of what is to be seen first, such as a mistake."""
TITLE = 13
"""Points."""
BOLD = 1.15
"""How much wider bold letters are."""
NAMED, LABEL = 12, 2.4
"""The most names in a legend, and the inches of each."""


def slide(
    title: str, rows: int = 1, columns: int = 1, height: float = 4.5, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row.

    Args:
        title: says what is to be seen; what is longer than the figure is wide is broken into lines.
        rows: of axes.
        columns: of axes.
        height: inches.
        options: of :meth:`matplotlib.figure.Figure.subplots`.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(_lines(title), fontsize=TITLE, fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False, **options).flatten().tolist()
    for each in axes:
        each.set_prop_cycle(cycler(color=COLOURS))
    return figure, axes


def sheet(title: str, height: float) -> tuple[Figure, Axes, float]:
    """A figure with one pair of axes, in inches from its upper left corner, to be filled by hand.

    This is many times as fast as a pair of axes for each of many pictures.

    Args:
        title: as of :func:`slide`.
        height: inches below the title.

    Returns:
        The figure, the axes, and where the title ends.
    """
    title = _lines(title)
    top = text_height(title, TITLE) + 0.2
    figure = Figure(figsize=(WIDTH, round((top + height) * DPI) / DPI), dpi=DPI)
    tall = float(figure.get_figheight())
    figure.suptitle(title, fontsize=TITLE, fontweight="bold", y=1 - 0.1 / tall)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(tall, 0), autoscale_on=False)
    axes.axis("off")
    return figure, axes, top


def legend(figure: Figure, axes: Axes, place: Literal["below", "right"] = "below") -> None:
    """Name what the axes show, outside of them; long names are shortened, and of many the first are given."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [_short(label) for label in labels]
    if len(labels) > NAMED:
        handles, labels = (
            [*handles[:NAMED], Line2D([], [], linestyle="")],
            [*labels[:NAMED], f"and {len(labels) - NAMED} more"],
        )
    widest = max((text_width(line, 10) for label in labels for line in label.split("\n")), default=0) + 0.7
    if place == "right":
        figure.legend(handles, labels, loc="outside right center", frameon=False)
    else:
        columns = max(1, min(len(labels), int((WIDTH - 0.4) / widest)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _short(label: str) -> str:
    return "\n".join(verbatim(shortened(line, LABEL, 10)) for line in label.split("\n"))


def _lines(title: str) -> str:
    return "\n".join(wrapped(line, (WIDTH - 0.4) / BOLD, TITLE, lines=3) for line in title.split("\n"))


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, without the name and version of what drew it, so that equal pictures have equal bytes."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    # Once: savefig draws everything a first time to find the layout.
    canvas.draw()  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    image = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
    image.save(buffer, format="png", dpi=(DPI, DPI), compress_level=COMPRESSION)
    return buffer.getvalue()
