"""Images beside the classes of their pixels."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.slide import COLOURS
from dlrun.figure.text import counted, percent
from dlrun.figure.tiles import Tile, picture, tiles


def palette(count: int) -> list[str]:
    """The colours of so many classes, as ``#rrggbb``; the first is black."""
    hues = list(COLOURS[:7])  # the eighth is black
    if count > 1 + len(hues):
        hues = [to_hex(colormaps["tab20"](2 * place % 20 + place // 10 % 2)) for place in range(count - 1)]
    return ["#000000", *hues][:count]


def segmentation(images: Tensor, masks: Tensor | None, predictions: Tensor, classes: list[str]) -> Figure:
    """Draw rows of images, what their pixels are, what the model says, and that over the image.

    Args:
        images: float (n, C, H, W) in [0,1].
        masks: class numbers (n, H, W); None where the truth is not known.
        predictions: class numbers (n, H, W).
        classes: their names; the first has the colour black.
    """
    colours = palette(len(classes))
    table = np.array([to_rgb(colour) for colour in colours])
    known = [predictions] if masks is None else [masks, predictions]
    over = []
    for image, numbers in zip(images, predictions, strict=True):
        pixels = np.broadcast_to(image.cpu().numpy().transpose(1, 2, 0), (*numbers.shape, 3))
        share = 0.5 * (numbers.cpu().numpy() > 0)[..., None]
        over.append(Tile((1 - share) * pixels + share * table[numbers.cpu().numpy()]))
    rows = [
        [Tile(picture(image)) for image in images],
        *([Tile(table[one.cpu().numpy()]) for one in numbers] for numbers in known),
        over,
    ]
    here = torch.cat(known).flatten().bincount().nonzero().flatten().tolist()
    key = {name: colour for number, (name, colour) in enumerate(zip(classes, colours, strict=True)) if number in here}
    title = f"The class of every pixel in {counted(len(images), 'image')}"
    if masks is not None:
        right = float((masks == predictions).float().mean())
        title = f"The class of every pixel: {percent(right)} are right in {counted(len(images), 'image')}"
    return tiles(title, rows, ["image", *([] if masks is None else ["truth"]), "prediction", "overlay"], key)
