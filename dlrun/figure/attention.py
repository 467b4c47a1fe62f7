"""What a decoder looks at while it writes, and how well it writes by length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from dlrun.figure.overlay import overlaid
from dlrun.figure.slide import COLOURS, STRIKING, slide
from dlrun.figure.tiles import Tile, picture, tiles

END = "⏎"
"""What stands for the end of a text."""
Aligned = tuple[Sequence[str], Sequence[str], Tensor]
"""The letters that were read, those that were written, and the weights, float (written, read)."""


def alignments(found: Sequence[Aligned]) -> Figure:
    """Draw a map of weights for each of a few texts: a row for each letter written, a column for each letter read."""
    title = "Where the decoder looks while it writes each letter"
    figure, axes = slide(title, columns=len(found))
    for plot, (read, written, weights) in zip(axes, found, strict=True):
        shown = plot.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        plot.set_xticks(range(len(read)), read, fontsize=10)
        plot.set_yticks(range(len(written)), [letter or END for letter in written], fontsize=10)
        plot.xaxis.tick_top()
        plot.xaxis.set_label_position("top")
        plot.set(xlabel="letters read", ylabel="letters written")
        plot.tick_params(length=0)
    bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02, format=PercentFormatter(1))
    bar.set_label(f"weight of a letter; {END} is the end")
    return figure


def by_length(axes: tuple[str, str], shares: Mapping[int, tuple[int, int, float, float]]) -> Figure:
    """Draw the share of right answers for each length, with 95% intervals.

    Args:
        axes: what the axes are.
        shares: by length: the right ones, all, and the ends of the interval of their share.
    """
    right, total = (sum(values[place] for values in shares.values()) for place in (0, 1))
    figure, (plot,) = slide(f"{right:,} of {total:,} answers are right; by length, with 95% intervals")
    lengths, values = list(shares), [right / total for right, total, _, _ in shares.values()]
    below = [value - low for value, (_, _, low, _) in zip(values, shares.values(), strict=True)]
    above = [high - value for value, (_, _, _, high) in zip(values, shares.values(), strict=True)]
    plot.errorbar(lengths, values, [below, above], color=COLOURS[0], marker="o", capsize=4, linewidth=2)
    plot.set(xlabel=axes[0], ylabel=axes[1], ylim=(-0.03, 1.03))
    plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.yaxis.set_major_formatter(PercentFormatter(1))
    plot.grid(alpha=0.3)
    return figure


def captions(
    title: str, images: Tensor, maps: Tensor, written: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]
) -> Figure:
    """Draw a row for each image: it, and where the decoder looked as it wrote each word; wrong words stand out.

    Args:
        title: says what is to be seen.
        images: float (n, C, H, W) in [0,1].
        maps: the weights of each word, float (n, words, h, w); words without one are left out.
        written: the words of each.
        wanted: the right ones.
    """
    columns = max(map(len, written))
    rows: list[list[Tile | None]] = []
    for image, words, right, weights in zip(images, written, wanted, maps, strict=True):
        row: list[Tile | None] = [Tile(picture(image))]
        for place, word in enumerate(words):
            colour = "black" if place < len(right) and right[place] == word else STRIKING
            row.append(Tile(overlaid(image, weights[place]), word, colour))
        rows.append(row + [None] * (1 + columns - len(row)))
    return tiles(title, rows, [" ".join(right) for right in wanted])
