"""The confusion matrix as a picture."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

LABELLED = 30
"""The most classes whose names and counts are legible."""


def confusion_matrix(counts: Tensor, classes: list[str]) -> Figure:
    """Draw counts (K, K), a row for each true class; the colour is the share of the row, so rare classes show."""
    size = min(4 + 0.45 * len(classes), 16)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    picture = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, fraction=0.046, label="share of the true class")
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(classes) <= LABELLED:
        ticks = range(len(classes))
        axes.set_xticks(ticks, classes, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, classes)
        for row, values in enumerate(counts.tolist()):
            for column, value in enumerate(values):
                if value:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    text = axes.text(column, row, str(value), ha="center", va="center", color=colour, fontsize=8)
                    text.set_in_layout(False)  # they lie inside the axes, and measuring them takes as long as drawing
    return figure
