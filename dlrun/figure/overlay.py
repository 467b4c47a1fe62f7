"""Explanations as pictures: a map over its image, and a sheet of many."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.explainer.explainer import upsample
from dlrun.figure.tiles import Bar, Tile, coloured, picture, tiles

COLOURS = "viridis"
"""Of the same steps in brightness and hue for all kinds of colour vision."""
EVIDENCE = Bar(COLOURS, 0, 1, "evidence for the class (1: the most in this image)")
OPACITY = 0.65
RESOLUTION = 336
"""Pixels on a side that a map is brought to at least, so that its picture is smooth on small images too."""


def overlay(title: str, image: Tensor, map: Tensor, captions: tuple[str, str]) -> Figure:
    """The image, float (C, H, W) in [0,1], beside the map, float (h, w), over it, with a colour bar."""
    pair = zip((picture(image), overlaid(image, map)), captions, strict=True)
    return tiles(title, [[Tile(pixels, caption) for pixels, caption in pair]], below=[EVIDENCE])


def contact_sheet(title: str, images: Tensor, maps: Tensor, captions: list[str], subtitles: list[list[str]]) -> Figure:
    """Images (N, C, H, W), each followed by its maps (N, T, h, w) over it, several to a row."""
    count, asked = maps.shape[:2]
    groups = min(count, max(1, 8 // (1 + asked)), 2 if count <= 4 else 4)
    cells: list[list[Tile | None]] = []
    for number in range(count):
        image = images[number]
        own: list[Tile | None] = [Tile(picture(image), captions[number])]
        for map, subtitle in zip(maps[number], subtitles[number], strict=True):
            own.append(Tile(overlaid(image, map), subtitle))
        cells.append(own)
    cells += [[None] * (1 + asked)] * (-count % groups)
    rows = [list(chain(*cells[start : start + groups])) for start in range(0, len(cells), groups)]
    return tiles(title, rows, below=[EVIDENCE], group=1 + asked)


def overlaid(image: Tensor, map: Tensor) -> np.ndarray:
    """The pixels of a map, float (h, w) of 0 or more, in colours from 0 to its own maximum over the image in grey."""
    large = enlarged(map, (image.shape[1], image.shape[2]))
    grey = picture(image.mean(dim=0, keepdim=True)).repeat(large.shape[0] // image.shape[1], axis=0)
    grey = grey.repeat(large.shape[1] // image.shape[2], axis=1)
    return OPACITY * coloured(large, COLOURS, 0, 1) + (1 - OPACITY) * grey[..., None]


def enlarged(map: Tensor, size: tuple[int, int]) -> Tensor:
    """A map, float (h, w) of 0 or more, at :data:`RESOLUTION` or above in the shape of an image, its maximum 1."""
    scale = -(-RESOLUTION // max(size))
    large = upsample(map.detach().float().cpu(), (size[0] * scale, size[1] * scale))
    return large / large.max().clamp(min=torch.finfo(large.dtype).tiny)
