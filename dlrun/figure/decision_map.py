"""What a model says about every point of the plane."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS, MARKERS, legend, slide


def decision_map(
    axis: Tensor,
    logits: Tensor,
    points: Tensor,
    targets: Tensor,
    classes: list[str],
    earlier_axis: Tensor,
    earlier: Sequence[Tensor],
) -> Figure:
    """Draw the most probable class by colour, fading to white where the model is unsure, and the points on top.

    Args:
        axis: float (S,), the values of x and of y.
        logits: float (S, S, K), rows by y, columns by x.
        points: float (N, 2).
        targets: int64 (N,).
        classes: their names.
        earlier_axis: float (E,).
        earlier: logits (E, E, K), whose borders are drawn as thin lines, from light to dark.
    """
    figure, (axes,) = slide("What the model says of every point (paler: less sure)")
    best, winner = logits.softmax(dim=2).max(dim=2)
    chance = 1 / logits.shape[2]
    certainty = ((best - chance) / (1 - chance)).unsqueeze(2).numpy()
    colours = matplotlib.colors.to_rgba_array(COLOURS)[:, :3][winner.numpy() % len(COLOURS)]
    low, high = float(axis[0]), float(axis[-1])
    axes.imshow(1 - 0.55 * (0.25 + 0.75 * certainty) * (1 - colours), extent=(low, high, low, high), origin="lower")
    with warnings.catch_warnings():  # matplotlib warns of a class that is nowhere
        warnings.simplefilter("ignore")
        for number, old in enumerate(earlier, start=1):
            _borders(axes, earlier_axis, old, str(0.85 - 0.6 * number / len(earlier)), 0.9)
        _borders(axes, axis, logits, "black", 2)
    axes.plot([], [], color="black", linewidth=2, label="border")
    if earlier:
        axes.plot([], [], color="0.5", linewidth=0.9, label=_earlier(earlier))
    for number in sorted(set(targets.tolist())):
        own = points[targets == number]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            s=70 if len(points) < 10 else 18,
            edgecolors="white",
            linewidths=0.5,
            label=classes[number],
        )
    axes.set(xlabel="x (scaled to 0 to 1)", ylabel="y (scaled to 0 to 1)", xlim=(low, high), ylim=(low, high))
    axes.locator_params(nbins=5)
    legend(figure, axes, "right")
    return figure


def _earlier(earlier: Sequence[Tensor]) -> str:
    """How many of the earlier borders can be seen: a border may lie outside of the picture."""
    crossing = sum(len(logits.argmax(dim=2).flatten().bincount().nonzero()) > 1 for logits in earlier)
    return f"earlier borders, from\nlight to dark ({crossing} of\n{len(earlier)} cross the picture)"


def _borders(axes: Axes, axis: Tensor, logits: Tensor, colour: str, width: float) -> None:
    """Where each class begins to win over all others."""
    for number in range(1 if logits.shape[2] == 2 else 0, logits.shape[2]):
        others = torch.cat([logits[:, :, :number], logits[:, :, number + 1 :]], dim=2).amax(dim=2)
        axes.contour(axis, axis, logits[:, :, number] - others, levels=[0], colors=colour, linewidths=width)
