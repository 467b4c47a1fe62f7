"""A source: labelled images of one size as bytes, in memory or read from disk one at a time.

Points of a plane are images too, of two channels and one pixel; they are floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError


class Source(Protocol):
    """Labelled images. Any map-style dataset with the attribute ``targets`` that gives such items is one."""

    @property
    def targets(self) -> Tensor:
        """int64, shape (N,)."""

    def __len__(self) -> int:
        """The number of images, N."""

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``: uint8, or float in [0,1]; shape (C, H, W)."""

    def subset(self, indices: Tensor) -> Source:
        """The source of the images at these indices, in their order."""


@dataclass
class TensorSource:
    """Images that are in memory already."""

    images: Tensor
    """uint8, or float in [0,1]; shape (N, C, H, W)."""
    targets: Tensor
    """int64, shape (N,)."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``."""
        return self.images[index]

    def subset(self, indices: Tensor) -> TensorSource:
        """The images at these indices."""
        return TensorSource(self.images[indices], self.targets[indices])


@dataclass
class Splits:
    """What a dataset's ``source`` returns; ``val=None`` lets dlrun split it off ``train``."""

    train: Source
    test: Source
    classes: list[str]
    val: Source | None = None
    regions: Tensor | None = None
    """Where each class is in the test images, bool (N, K, H, W), if that is known: explanations are held against it."""


def from_arrays(images: Any, targets: Sequence[int] | Any) -> TensorSource:
    """A source of images that a library holds as an array: uint8, (N, H, W) or (N, H, W, C)."""
    data = torch.as_tensor(images)
    data = data.unsqueeze(1) if data.ndim == 3 else data.permute(0, 3, 1, 2)
    return TensorSource(data.contiguous(), torch.as_tensor(targets, dtype=torch.int64))


def fit(images: Tensor, channels: int, image_size: int) -> Tensor:
    """Bring images, uint8 (..., C, H, W), to one size and number of channels.

    One channel of three is their luminance (ITU-R BT.601), three of one are the same grey; resizing is bilinear with
    antialiasing.

    Raises:
        UserError: of two channels, or to two: points are no images.
    """
    if images.shape[-3] != channels:
        if 2 in (images.shape[-3], channels):
            raise UserError(f"dataset.channels={channels}: the data has {images.shape[-3]}")
        if channels == 1:
            red, green, blue = images.unbind(-3)
            images = (0.299 * red + 0.587 * green + 0.114 * blue).round().to(torch.uint8).unsqueeze(-3)
        else:
            images = images.expand(*images.shape[:-3], channels, -1, -1)
    if images.shape[-2:] != (image_size, image_size):
        batch = images if images.ndim == 4 else images.unsqueeze(0)
        batch = F.interpolate(batch, (image_size, image_size), mode="bilinear", antialias=True)
        images = batch if images.ndim == 4 else batch.squeeze(0)
    return images


def to_unit(images: Tensor) -> Tensor:
    """Pixels as floats in [0,1], of bytes or of such floats."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def are_points(images: Tensor) -> bool:
    """Whether these images (..., C, H, W) are points of a plane: two channels, one pixel."""
    return images.shape[-3:] == (2, 1, 1)


def stratified(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of two disjoint parts of the data, the second with ``fraction`` of it and of every class.

    The same seed gives the same parts. Each part is in ascending order.
    """
    shuffled = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(targets[shuffled], stable=True)]
    count = round(fraction * len(targets))
    # Evenly spaced places in the class-sorted order meet every class in its proportion.
    places = (2 * torch.arange(count) + 1) * len(targets) // max(2 * count, 1)
    second = torch.zeros(len(targets), dtype=torch.bool)
    second[by_class[places]] = True
    return torch.nonzero(~second).flatten(), torch.nonzero(second).flatten()
