"""A grid of images with captions."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from torch import Tensor

GAP, CAPTION = 0.08, 0.22  # in widths of an image


def image_grid(images: Tensor, captions: list[str]) -> Figure:
    """Draw images, uint8 (N, C, H, W) or float in [0,1], each under its caption."""
    columns = min(8, max(1, math.ceil(math.sqrt(len(images)))))
    rows = math.ceil(len(images) / columns)
    width, height = 1 + GAP, images.shape[2] / images.shape[3] + CAPTION
    # One pair of axes for all: a pair for each image takes matplotlib many times as long.
    figure = Figure(figsize=(1.7 * columns * width, 1.7 * rows * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    limit = 1 if images.is_floating_point() else 255
    for place, (image, caption) in enumerate(zip(images.cpu(), captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = column * width, row * height
        pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
        extent = (left, left + 1, top + height, top + CAPTION)
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=limit, interpolation="nearest", extent=extent)
        axes.text(left + 0.5, top + CAPTION / 2, caption, ha="center", va="center", fontsize=8)
    axes.set(xlim=(-GAP, columns * width), ylim=(rows * height, 0))
    return figure
