"""What a model says about every point of the plane."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

COLOURS = [to_rgb(colour) for colour in matplotlib.color_sequences["tab10"]]


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
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.subplots()
    best, winner = logits.softmax(dim=2).max(dim=2)
    chance = 1 / logits.shape[2]
    certainty = ((best - chance) / (1 - chance)).unsqueeze(2).numpy()
    colours = matplotlib.colors.to_rgba_array(COLOURS[: len(classes)])[:, :3][winner.numpy() % len(COLOURS)]
    low, high = float(axis[0]), float(axis[-1])
    axes.imshow(1 - 0.55 * (0.25 + 0.75 * certainty) * (1 - colours), extent=(low, high, low, high), origin="lower")
    with warnings.catch_warnings():  # matplotlib warns of a class that is nowhere
        warnings.simplefilter("ignore")
        for number, old in enumerate(earlier, start=1):
            _borders(axes, earlier_axis, old, str(0.85 - 0.6 * number / len(earlier)), 0.7)
        _borders(axes, axis, logits, "black", 1.5)
    scattered = axes.scatter(
        points[:, 0],
        points[:, 1],
        c=targets,
        cmap=ListedColormap(COLOURS[: max(len(classes), 2)]),
        vmin=-0.5,
        vmax=max(len(classes), 2) - 0.5,
        s=60 if len(points) < 10 else 14,
        edgecolors="white",
        linewidths=0.5,
    )
    present = sorted(set(targets.tolist()))
    handles, _ = scattered.legend_elements(num=present)
    names = [classes[number] for number in present]
    figure.legend(handles, names, loc="outside right center", frameon=False, title="class")
    axes.set(xlabel="x", ylabel="y")
    return figure


def _borders(axes: Axes, axis: Tensor, logits: Tensor, colour: str, width: float) -> None:
    """Where each class begins to win over all others."""
    for number in range(1 if logits.shape[2] == 2 else 0, logits.shape[2]):
        others = torch.cat([logits[:, :, :number], logits[:, :, number + 1 :]], dim=2).amax(dim=2)
        axes.contour(axis, axis, logits[:, :, number] - others, levels=[0], colors=colour, linewidths=width)
