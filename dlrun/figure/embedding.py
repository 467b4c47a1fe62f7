"""Where a network puts images, and how far apart pairs of them are."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS, MARKERS, slide
from dlrun.figure.text import shortened, verbatim

SHOWN = 2_000
"""Points, at most."""


def embedding(
    embeddings: Tensor, targets: Tensor, classes: list[str], held_out: list[str], within: Tensor, between: Tensor
) -> Figure:
    """Draw the embedding, and beside it the distances of pairs.

    Args:
        embeddings: float (N, D); of more than two numbers the two principal components are drawn.
        targets: int64 (N,).
        classes: their names.
        held_out: the names of those that were not trained on, drawn in front.
        within: distances of pairs of one class, float (P,); of held out ones, where there are any.
        between: those of two classes.
    """
    figure, (plane, pairs) = slide("Where the images lie, and how far apart two of them are", columns=2, height=4.5)
    centred = embeddings - embeddings.mean(dim=0)
    flat = centred if centred.shape[1] == 2 else centred @ centred.svd()[2][:, :2]
    flat, kept = flat[:SHOWN], targets[:SHOWN]
    for number in sorted(set(kept.tolist()), key=lambda number: classes[number] in held_out):
        own, name = flat[kept == number], classes[number]
        new = name in held_out
        plane.scatter(
            own[:, 0],
            own[:, 1],
            s=14 if new or not held_out else 6,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
            alpha=1.0 if new or not held_out else 0.35,
            linewidths=0,
            label=shortened(verbatim(name), 1.1, 8) + (" (held out)" if new else ""),
        )
    parts = "" if embeddings.shape[1] == 2 else ", principal components"
    plane.set(xlabel=f"embedding{parts}", xticks=[], yticks=[])
    plane.legend(fontsize=8, ncols=2, markerscale=1.5)
    span = (0.0, float(max(within.max(), between.max()))) if len(within) and len(between) else (0.0, 1.0)
    for distances, label, colour in ((within, "same class", COLOURS[0]), (between, "different classes", COLOURS[1])):
        pairs.hist(distances.numpy(), bins=40, range=span, color=colour, alpha=0.6, label=label)
    pairs.set(xlabel=f"distance of two images{' of held out classes' if held_out else ''}", ylabel="pairs")
    pairs.legend(fontsize=9)
    return figure
