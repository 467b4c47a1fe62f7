"""Images beside the classes of their pixels."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS
from dlrun.figure.text import percent
from dlrun.figure.tiles import Tile, picture, tiles


def segmentation(images: Tensor, masks: Tensor, predictions: Tensor, classes: list[str]) -> Figure:
    """Draw rows of images, what their pixels are, and what the model says.

    Args:
        images: float (n, C, H, W) in [0,1].
        masks: class numbers (n, H, W).
        predictions: class numbers (n, H, W).
        classes: their names; the first has the colour black.
    """
    hues = list(COLOURS[:7])  # the eighth is black
    if len(classes) > 1 + len(hues):
        hues = [to_hex(colormaps["tab20"](2 * place % 20 + place // 10 % 2)) for place in range(len(classes) - 1)]
    colours = ["#000000", *hues][: len(classes)]
    palette = np.array([to_rgb(colour) for colour in colours])
    rows = [
        [Tile(picture(image)) for image in images],
        *([Tile(palette[one.cpu().numpy()]) for one in numbers] for numbers in (masks, predictions)),
    ]
    here = torch.cat([masks, predictions]).flatten().bincount().nonzero().flatten().tolist()
    key = {name: colour for number, (name, colour) in enumerate(zip(classes, colours, strict=True)) if number in here}
    right = float((masks == predictions).float().mean())
    title = f"The class of every pixel: {percent(right)} are right in these {len(images)} images"
    return tiles(title, rows, ["image", "truth", "prediction"], key)
