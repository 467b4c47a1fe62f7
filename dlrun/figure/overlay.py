"""Explanations as pictures: a map over its image, and a sheet of many."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.explainer.explainer import upsample

COLOURS = "viridis"
"""Of the same steps in brightness and hue for all kinds of colour vision."""
OPACITY = 0.65
RESOLUTION = 336
"""Pixels on a side that a map is brought to at least, so that its picture is smooth on small images too."""


def overlay(image: Tensor, map: Tensor, title: str, subtitle: str) -> Figure:
    """The image, float (C, H, W) in [0,1], beside the map, float (h, w), over it, with a colour bar."""
    height, width = image.shape[1:]
    figure = Figure(figsize=(7.6, 0.75 + 3.2 * height / width), layout="constrained")
    plain, mixed = figure.subplots(1, 2)
    draw_image(plain, image)
    picture = draw_overlay(mixed, image, map)
    bar = figure.colorbar(picture, ax=mixed, fraction=0.046, pad=0.03, ticks=[0, 0.5, 1])
    bar.set_label("evidence for the class", fontsize=11)
    bar.solids.set_alpha(1)  # type: ignore[union-attr]
    figure.suptitle(title, fontsize=14, fontweight="bold")
    plain.set_title("image", fontsize=11)
    mixed.set_title(subtitle, fontsize=11)
    return figure


def contact_sheet(images: Tensor, maps: Tensor, captions: list[str], subtitles: list[list[str]]) -> Figure:
    """Images (N, C, H, W), each followed by its maps (N, T, h, w) over it, several to a row."""
    count, asked = maps.shape[:2]
    groups = min(count, max(1, 6 // (1 + asked)))
    rows, columns = -(-count // groups), groups * (1 + asked)
    ratio = images.shape[2] / images.shape[3]
    figure = Figure(figsize=(2.0 * columns, (2.0 * ratio + 0.55) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for number in range(count):
        row, column = divmod(number, groups)
        cells = grid[row, column * (1 + asked) : (column + 1) * (1 + asked)]
        draw_image(cells[0], images[number])
        cells[0].set_title(captions[number], fontsize=9)
        for cell, one, subtitle in zip(cells[1:], maps[number], subtitles[number], strict=True):
            draw_overlay(cell, images[number], one)
            cell.set_title(subtitle, fontsize=9)
    return figure


def draw_image(axes: Axes, image: Tensor) -> None:
    """Draw an image, float (C, H, W) in [0,1], grey or RGB."""
    axes.axis("off")
    pixels = image.detach().float().cpu().clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def draw_overlay(axes: Axes, image: Tensor, map: Tensor) -> Any:
    """Draw a map, float (h, w) of 0 or more, in colours from 0 to its own maximum over the image in grey."""
    draw_image(axes, image.mean(dim=0, keepdim=True))
    height, width = image.shape[1:]
    large = enlarged(map, (height, width)).numpy()
    return axes.imshow(
        large, cmap=COLOURS, vmin=0, vmax=1, alpha=OPACITY, extent=(-0.5, width - 0.5, height - 0.5, -0.5)
    )


def enlarged(map: Tensor, size: tuple[int, int]) -> Tensor:
    """A map, float (h, w) of 0 or more, at :data:`RESOLUTION` or above in the shape of an image, its maximum 1."""
    scale = -(-RESOLUTION // max(size))
    large = upsample(map.detach().float().cpu(), (size[0] * scale, size[1] * scale))
    return large / large.max().clamp(min=torch.finfo(large.dtype).tiny)
