"""A few images to look at: of a dataset, or of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from dlrun.dataset.image_file import SUFFIXES
from dlrun.dataset.image_folder import FileSource
from dlrun.errors import UserError


@dataclass
class Examples:
    """Images, what they are called, and what they show."""

    images: Tensor
    """float (N, C, H, W) in [0,1]."""
    names: list[str]
    targets: list[int | None]
    regions: Tensor | None = None
    """Where each class is in each image, bool (N, K, H, W), if that is known."""


def read(path: str, channels: int, image_size: int, resize_size: int, most: int) -> Examples:
    """The image file at a path, or those in the folder there and below, cut to squares of one size.

    Args:
        path: of a file or folder.
        channels: 1 or 3; images are converted.
        image_size: side in pixels of the square that is cut out of the middle.
        resize_size: what the shorter side is resized to before.
        most: files to read.

    Raises:
        UserError: nothing there, no image in the folder, or a file that cannot be decoded.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)[:most]
        if not files:
            raise UserError(f"input={path}: no images in this folder; expected files such as photo.jpg")
    elif root.is_file():
        files = [root]
    else:
        raise UserError(f"input={path}: no such file or folder; expected an image, or a folder of images")
    source = FileSource(files, torch.zeros(len(files), dtype=torch.int64), resize_size, channels)
    images = torch.stack([source[number] for number in range(len(files))])
    images = center_crop(images, [image_size, image_size])
    return Examples(images.float().div_(255), [file.stem for file in files], [None] * len(files))
