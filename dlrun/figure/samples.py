"""Examples of a dataset, whatever they are."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.image_grid import image_grid
from dlrun.figure.signals import signals
from dlrun.figure.slide import COLOURS, MARKERS, legend, slide
from dlrun.figure.texts import texts


def samples(title: str, examples: Tensor | Sequence[str], captions: Sequence[str]) -> Figure:
    """Draw examples with their captions.

    Args:
        title: says what is to be seen.
        examples: images (N, C, H, W) or signals (N, C, L) in a grid, points (N, 2) where they lie, or texts below each
            other.
        captions: of each.
    """
    if not isinstance(examples, Tensor):
        return texts(title, examples, captions)
    if examples.ndim == 3:
        return signals(title, examples, captions)
    if examples.ndim > 3:
        return image_grid(title, examples, captions)
    figure, (axes,) = slide(title)
    points = examples.cpu()
    for number, name in enumerate(sorted(set(captions))):
        own = points[[place for place, caption in enumerate(captions) if caption == name]]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], color=colour, marker=marker, s=40, label=name)
    axes.set(
        xlabel="x (scaled to 0 to 1)", ylabel="y (scaled to 0 to 1)", xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), aspect="equal"
    )
    if any(captions):
        legend(figure, axes, "right")
    return figure
