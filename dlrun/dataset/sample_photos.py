"""Photos that come with installed packages, each of one of ImageNet's classes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torchvision.models import ResNet50_Weights

from dlrun.dataset.image_file import read_image
from dlrun.dataset.source import Splits, labelled
from dlrun.errors import UserError

PHOTOS = {
    "palace": ("sklearn", "datasets/images/china.jpg"),
    "daisy": ("sklearn", "datasets/images/flower.jpg"),  # a dahlia, which ImageNet has no class for
    "tripod": ("skimage", "data/camera.png"),
    "tabby": ("skimage", "data/chelsea.png"),
    "espresso": ("skimage", "data/coffee.png"),
    "missile": ("skimage", "data/rocket.jpg"),
}
"""By class the package and the file in it."""


def load(image_size: int, resize_size: int, pairs: bool = False) -> Splits:
    """The photos, to be looked at: training and test split are the same.

    Args:
        image_size: side in pixels of what is cut out of the middle at last; regions are of this size.
        resize_size: side of the photos, or canvases.
        pairs: put each into the left half of a canvas, and the next one into the right half; the label is that of the
            left one, and ``Splits.regions`` says in which half each class is.

    Raises:
        UserError: scikit-image is not installed.
    """
    classes = list(ResNet50_Weights.DEFAULT.meta["categories"])
    targets = torch.tensor([classes.index(name) for name in PHOTOS])
    if not pairs:
        images = torch.stack([read_image(_file(name), 3, resize_size) for name in PHOTOS])
        split = labelled(images, targets)
        return Splits(split, split, classes)
    left = torch.stack([read_image(_file(name), 3, (resize_size, resize_size // 2)) for name in PHOTOS])
    split = labelled(torch.cat([left, left.roll(-1, 0)], dim=3), targets)
    half = image_size // 2
    regions = torch.zeros(len(PHOTOS), len(classes), image_size, image_size, dtype=torch.bool)
    for number, (one, other) in enumerate(zip(targets.tolist(), targets.roll(-1).tolist(), strict=True)):
        regions[number, one, :, :half] = True
        regions[number, other, :, half:] = True
    return Splits(split, split, classes, regions=regions)


def _file(name: str) -> Path:
    package, inside = PHOTOS[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UserError("dataset=sample_photos: needs scikit-image; pip install 'dlrun[lesson]'")
    return Path(found.origin).parent / inside
