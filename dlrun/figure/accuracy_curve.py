"""Accuracy against the size of the perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure


def curve(eps: Sequence[float], accuracies: Mapping[str, Sequence[float]], norm: str) -> Figure:
    """Draw one line for each name, accuracies as fractions; the area between the first two is what nobody knows.

    Args:
        eps: radii, ascending.
        accuracies: by name; with two, such as attacked and certified, the area between them is shaded.
        norm: of the radii, for the label.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in accuracies.items():
        axes.plot(eps, values, marker="o", label=name)
    if len(accuracies) == 2:
        first, second = accuracies.values()
        axes.fill_between(eps, first, second, alpha=0.15, color="gray")
    axes.set(xlabel=f"eps ({norm}, pixels in [0, 1])", ylabel="accuracy", ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
