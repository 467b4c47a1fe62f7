"""Weights that lie on an image's pixels, as pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import CHANGE
from dlrun.figure.tiles import Bar, Tile, coloured, flow, picture, tiles

TEMPLATES = "The weights of each class: red pixels speak for it, blue ones against it"
IN_COLOUR = "The weights of each class"
"""The titles of those of a linear classifier, of grey images and of images in colour."""


def templates(images: Tensor, classes: list[str]) -> Figure:
    """Draw the weights (K, C, h, w) of a linear classifier, a picture for each class; three channels are colours."""
    return weights(images, classes, IN_COLOUR if images.shape[1] == 3 else TEMPLATES)


def weights(weights: Tensor, captions: list[str], title: str) -> Figure:
    """Draw weights (n, C, h, w) of one or three channels.

    One channel is red where it is above 0 and blue below, on one scale for all. Three are colours, each filter in its
    own range around grey; of other numbers of channels the mean is drawn.
    """
    weights = weights.detach().float().cpu()
    if weights.shape[1] == 3:
        largest = weights.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
        pixels = [picture(one) for one in weights / largest / 2 + 0.5]
        return tiles(f"{title} (colours around grey, which is 0)", flow(_captioned(pixels, captions)))
    means = weights.mean(dim=1)
    limit = float(means.abs().max()) or 1.0
    pixels = [coloured(one, CHANGE, -limit, limit) for one in means]
    return tiles(title, flow(_captioned(pixels, captions)), below=[Bar(CHANGE, -limit, limit, "weight of a pixel")])


def _captioned(pixels: list[np.ndarray], captions: list[str]) -> list[Tile]:
    return [Tile(*parts) for parts in zip(pixels, captions, strict=True)]
