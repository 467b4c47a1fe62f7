"""A few images to look at: of a dataset, or of files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from dlrun import console
from dlrun.dataset.data import input_shape, reads_text
from dlrun.dataset.field import middle, to_unit
from dlrun.dataset.folder_tree import image_files
from dlrun.dataset.image_file import SUFFIXES, read_image
from dlrun.errors import UserError
from dlrun.paths import shown


@dataclass
class Examples:
    """Images, what they are called, and what they show."""

    images: Tensor
    """float (N, C, H, W) in [0,1]."""
    names: list[str]
    targets: list[int | None]
    regions: Tensor | None = None
    """Where each class is in each image, bool (N, K, H, W), if that is known."""


def need_images(config: DictConfig) -> None:
    """Refuse a verb that shows or reads pictures where the dataset's examples are none.

    Args:
        config: the whole config.

    Raises:
        UserError: what the network reads is no image.
    """
    dataset = config.dataset
    if reads_text(dataset):
        raise UserError(f"run={config.run}: {config.verb} needs images; the examples of this dataset are texts")
    shape = input_shape(dataset)
    if len(shape) != 3 or shape[0] not in (1, 3):
        size = "x".join(map(str, shape))
        raise UserError(
            f"dataset.source._target_={dataset.source._target_}: {config.verb} needs images of 1 or 3 channels;"
            f" an example of this dataset is {size} numbers"
        )


def find(given: str | None) -> list[Path]:
    """The image files that ``input`` names: one, or those in a folder and below.

    Raises:
        UserError: there are none.
    """
    if given is None:
        raise UserError("input: none given; expected an image file or a folder of them")
    path = Path(given)
    if not path.exists():
        raise UserError(f"input={shown(given)}: no such file or folder; expected an image or a folder of images")
    if not path.is_dir():
        return [path]
    try:
        found = image_files(path)
    except UserError as error:
        raise UserError(f"input={error}") from None
    if not found:
        raise UserError(f"input={shown(given)}: no images in this folder; expected {', '.join(sorted(SUFFIXES))}")
    return found


def read(files: list[Path], config: DictConfig) -> Iterator[tuple[list[Path], Tensor]]:
    """The pictures as the model takes them, float (B, C, H, W) in [0,1], a few at a time; of several, those readable.

    Args:
        files: what :func:`find` found.
        config: the whole config, whose ``dataset`` says what the images shall be.

    Raises:
        UserError: the one file that was named, or all, cannot be read.
    """
    dataset = config.dataset

    _, height, width = input_shape(dataset)
    is_square = height == width
    side = max(dataset.resize_size, dataset.image_size)

    def one(file: Path) -> Tensor | None:
        try:
            image = read_image(file, dataset.channels, side if is_square else (height, width))
        except UserError as error:
            if len(files) == 1:
                raise UserError(f"input={error}") from None
            console.say(f"warning: {error}")
            return None
        return middle(image, (height, width))

    some = False
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), dataset.eval_batch_size):
            part = files[start : start + dataset.eval_batch_size]
            pairs = [(file, image) for file, image in zip(part, pool.map(one, part), strict=True) if image is not None]
            if pairs:
                some = True
                yield [file for file, _ in pairs], to_unit(torch.stack([image for _, image in pairs]))
    if not some:
        raise UserError(f"input={shown(config.input)}: none of its {len(files)} images can be read")


def of_files(files: list[Path], config: DictConfig) -> Examples:
    """All pictures that :func:`read` gives, as examples of no known class."""
    parts = list(read(files, config))
    names = [shown(file.stem) for found, _ in parts for file in found]
    return Examples(torch.cat([images for _, images in parts]), names, [None] * len(names))
