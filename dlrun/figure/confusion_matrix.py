"""The confusion matrix as a picture."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from dlrun.experiment.statistics import wilson
from dlrun.figure.slide import slide
from dlrun.figure.text import POINTS, shortened, verbatim, width

NAMED = 50
"""The most classes whose names are legible."""
SMALLEST, LARGEST = 7, 13
"""Points of a count; where it had to be smaller, colours speak alone."""
GAMMA = 0.5
"""The colour is a share to this power: 1% is not white."""
PLOT = 5.6
"""Inches that the matrix has in width, about."""


def confusion_matrix(counts: Tensor, classes: list[str]) -> Figure:
    """Draw counts (K, K), a row for each true class; the colour is the share of the row, so rare classes show."""
    count = len(classes)
    tall = min(max(3.3, 0.155 * count), 7)
    figure, (axes,) = slide(_title(counts, classes), height=tall + 1.5)
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    picture = axes.imshow(shares.numpy(), cmap="Blues", norm=PowerNorm(GAMMA, 0, 1), aspect="auto")
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.02, aspect=6 * tall, format=PercentFormatter(1))
    bar.set_label("share of the true class")
    if count > NAMED:
        axes.set(xlabel="predicted class (its number)", ylabel="true class (its number)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        return figure
    axes.set(xlabel="predicted class", ylabel="true class")
    size = min(10, POINTS * tall / count * 0.75)
    names = [verbatim(shortened(name, 1.5, size)) for name in classes]
    flat = max(width(name, size) for name in names) < 0.9 * PLOT / count
    turned: dict[str, Any] = (
        {} if flat else {"rotation": 45 if count <= 12 else 90, "ha": "right", "rotation_mode": "anchor"}
    )
    turned |= {"va": "center"} if turned.get("rotation") == 90 else {}
    axes.set_xticks(range(count), names, fontsize=size, **turned)
    axes.set_yticks(range(count), names, fontsize=size)
    _write(axes, counts, shares, tall)
    return figure


def _title(counts: Tensor, classes: list[str]) -> str:
    """How many are right, and the most frequent mistake."""
    total, right = int(counts.sum()), int(counts.diagonal().sum())
    low, high = wilson(right, max(total, 1))
    title = f"{right:,} of {total:,} right: {right / max(total, 1):.1%} (95% interval {low:.1%} to {high:.1%})"
    wrong = counts - counts.diagonal().diag()
    if not int(wrong.sum()):
        return title
    true, predicted = divmod(int(wrong.argmax()), len(classes))
    pair = [verbatim(shortened(classes[number], 2, 13)) for number in (true, predicted)]
    return f"{title}\nmost often {pair[0]} is taken for {pair[1]}"


def _write(axes: Axes, counts: Tensor, shares: Tensor, tall: float) -> None:
    """The counts above 0 into their cells, in one size, if they can be read in it."""
    count = len(counts)
    digits = width(str(int(counts.max())), 1)  # inches in a font of one point
    size = min(LARGEST, 0.8 * POINTS * tall / count, 0.85 * PLOT / count / digits)
    if size < SMALLEST:
        return
    for row, values in enumerate(counts.tolist()):
        for column, value in enumerate(values):
            if value:
                colour = "white" if shares[row, column] ** GAMMA > 0.5 else "black"
                text = axes.text(column, row, str(value), ha="center", va="center", color=colour, fontsize=size)
                text.set_in_layout(False)  # they lie inside the axes, and measuring them takes as long as drawing
