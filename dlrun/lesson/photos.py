"""The two photos that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from dlrun.errors import UserError, suggest

PHOTOS = {"china": "china.jpg", "flower": "flower.jpg"}


def photo(name: str) -> Tensor:
    """A photo in colour, float (3, 427, 640) in [0,1].

    Raises:
        UserError: there is none of this name.
    """
    if name not in PHOTOS:
        raise UserError(f"lesson.photo={name}: no such photo; {suggest(name, PHOTOS)}")
    pixels = np.array(load_sample_image(PHOTOS[name]))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def grey(name: str) -> Tensor:
    """A photo in shades of grey, float (427, 640) in [0,1]; see :func:`photo`."""
    return photo(name).mean(dim=0)
