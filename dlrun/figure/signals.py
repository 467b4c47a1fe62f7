"""Signals side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from dlrun.figure.slide import COLOURS, WIDTH, slide
from dlrun.figure.text import shortened, verbatim

COLUMNS = 4


def signals(title: str, values: Tensor, captions: Sequence[str]) -> Figure:
    """Draw signals (N, C, L) as curves in a grid, each under its caption, a colour for each channel."""
    rows = -(-len(values) // COLUMNS)
    figure, axes = slide(title, rows, COLUMNS, height=0.6 + 1.3 * rows, sharex=True, sharey=True)
    for plot, signal, caption in zip(axes, values.cpu(), captions, strict=False):
        for channel, colour in zip(signal, COLOURS, strict=False):
            plot.plot(channel, color=colour, linewidth=1.5)
        plot.set_title(shortened(verbatim(caption), WIDTH / COLUMNS - 0.4, 10), fontsize=10, pad=3)
    for plot in axes[len(values) :]:
        plot.axis("off")
    for plot in axes:
        plot.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        plot.tick_params(labelsize=8)
    for plot in axes[-COLUMNS:]:
        plot.set_xlabel("place in the signal", fontsize=9)
    for plot in axes[::COLUMNS]:
        plot.set_ylabel("value", fontsize=9)
    return figure
