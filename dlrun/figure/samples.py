"""Examples of a dataset, whatever they are."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.image_grid import image_grid


def samples(images: Tensor, captions: list[str]) -> Figure:
    """Draw images (N, C, H, W) in a grid, each under its caption; points (N, 2) where they lie, each beside its own."""
    if images.ndim > 2:
        return image_grid(images, captions)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    points = images.cpu()
    axes.scatter(points[:, 0], points[:, 1], c="black", s=12)
    for (x, y), caption in zip(points.tolist(), captions, strict=True):
        axes.annotate(caption, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), aspect="equal")
    return figure
