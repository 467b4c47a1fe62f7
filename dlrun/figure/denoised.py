"""What a network sees in images with noise."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.figure.tiles import Tile, picture, tiles

SHOWN = 10
"""Images in the picture."""
TITLE = "Images, with more and more noise, and what the network sees in them"


def denoised(images: Tensor, noisy: Tensor, guesses: Tensor, times: Tensor) -> Figure:
    """Draw some images above the noisy ones and what the network makes of these, from little noise to much.

    Args:
        images: float (N, C, H, W) in [0,1].
        noisy: the same with noise.
        guesses: the images that the network sees in them.
        times: the step of the noise in each, int64 (N,).
    """
    order = times.argsort()
    chosen = order[torch.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().long()].tolist()
    rows = [[Tile(picture(shown[place])) for place in chosen] for shown in (images, noisy, guesses)]
    rows[0] = [Tile(tile.pixels, f"step {times[place]}") for tile, place in zip(rows[0], chosen, strict=True)]
    return tiles(TITLE, rows, ["image", "with noise", "guess"])
