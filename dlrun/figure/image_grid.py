"""A grid of images with captions."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from torch import Tensor


def image_grid(images: Tensor, captions: list[str]) -> Figure:
    """Draw images, uint8 (N, C, H, W) or float in [0,1], each under its caption."""
    columns = min(8, max(1, math.ceil(math.sqrt(len(images)))))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.7 * columns, 1.9 * rows), layout="constrained")
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if place < len(images):
            pixels = images[place].permute(1, 2, 0).squeeze(-1).cpu().numpy()
            limit = 1 if images.is_floating_point() else 255
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=limit, interpolation="nearest")
            axes.set_title(captions[place], fontsize=8)
    return figure
