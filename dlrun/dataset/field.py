"""What each named tensor of a dataset is: how it is fitted, augmented, and brought to what a network reads.

A dataset names its fields in ``Splits.fields``; the first is what the network reads. A new kind of data is a new field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError


@dataclass(frozen=True)
class Sizes:
    """The sizes that a dataset's config asks for.

    Args:
        channels: of an image, 1 or 3.
        image_size: its side in pixels.
        resize_size: the side to resize to before the middle is cut out; None for image_size.
        sides: height and width of an image that is no square, to which it is resized; None for a square.
    """

    channels: int
    image_size: int
    resize_size: int | None = None
    sides: tuple[int, int] | None = None

    @property
    def resized(self) -> tuple[int, int]:
        """The height and width to resize to."""
        side = self.resize_size or self.image_size
        return self.sides or (side, side)

    @property
    def inside(self) -> tuple[int, int]:
        """Those of the middle that is cut out."""
        return self.sides or (self.image_size, self.image_size)


class Warp(Protocol):
    """A geometric change of a batch, float (B, C, H, W), each row with parameters of its own; zeros come in."""

    def __call__(self, values: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
        """Move the pixels; ``mode`` says what lies between them."""


class Field:
    """A named tensor that stays as it is: a label, a length, tokens. Other fields override what differs."""

    is_picture: ClassVar[bool] = False
    """Whether it can be shown as an image, and erased and cut like one."""
    mixes: ClassVar[bool] = False
    """Whether the mean of two values has a meaning, so that mixup may take it."""

    def fit(self, values: Tensor, sizes: Sizes) -> Tensor:
        """Bring values as the source has them, one or a batch, to the dataset's sizes; their type stays."""
        return values

    def read(self, values: Tensor) -> Tensor:
        """Bring a fitted batch to what the network reads."""
        return values

    def warp(self, values: Tensor, warp: Warp) -> Tensor:
        """What augmentation makes of a read batch where it moves pixels."""
        return values

    def shown(self, values: Tensor) -> Tensor | list[str]:
        """A read batch for a reader's eyes: a text for each of its examples where it is one."""
        return values

    def files(self) -> dict[str, str]:
        """What a run keeps, so that its model reads the same another time: texts by the names of files."""
        return {}


class Image(Field):
    """Pixels, uint8 (..., C, H, W), or float in [0,1]; the network reads floats in [0,1]."""

    is_picture = True
    mixes = True

    def fit(self, values: Tensor, sizes: Sizes) -> Tensor:
        """Convert the channels, resize (bilinear with antialiasing) and cut out the middle.

        Raises:
            UserError: the values are no image, or their channels cannot be converted.
        """
        if values.ndim < 3 or not (values.dtype == torch.uint8 or values.is_floating_point()):
            found = f"{values.dtype} {tuple(values.shape)}".removeprefix("torch.")
            raise UserError(f"dataset.source: an image is {found}; expected uint8 (C, H, W), or float in [0,1]")
        return middle(fit(values, sizes.channels, sizes.resized), sizes.inside)

    def read(self, values: Tensor) -> Tensor:
        """Bytes as floats in [0,1]."""
        return to_unit(values)

    def warp(self, values: Tensor, warp: Warp) -> Tensor:
        """Bilinear."""
        return warp(values)


@dataclass(frozen=True)
class Mask(Field):
    """The class of every pixel of the image: integers (..., H, W); the loss reads int64.

    Args:
        fill: the class of what augmentation moves in from outside the image.
    """

    fill: int = 0

    def fit(self, values: Tensor, sizes: Sizes) -> Tensor:
        """Resize by the nearest pixel and cut out the middle, as the image is."""
        if values.shape[-2:] != sizes.resized:
            pairs = zip(values.shape[-2:], sizes.resized, strict=True)
            rows, columns = (((torch.arange(side) + 0.5) * old / side).long() for old, side in pairs)
            values = values[..., rows[:, None], columns]
        return middle(values, sizes.inside)

    def read(self, values: Tensor) -> Tensor:
        """Class numbers as int64."""
        return values.long()

    def warp(self, values: Tensor, warp: Warp) -> Tensor:
        """By the nearest pixel; class numbers stay whole."""
        return warp((values - self.fill).unsqueeze(1).float(), "nearest").squeeze(1).long() + self.fill


@dataclass(frozen=True, eq=False)
class Label(Field):
    """One class for each example, int64 (...,); or what else is to be predicted, as it is.

    Args:
        numbers: the new number of every class, int64 (K,); None keeps them.
    """

    numbers: Tensor | None = None

    def fit(self, values: Tensor, sizes: Sizes) -> Tensor:
        """Renumber the classes."""
        return values if self.numbers is None else self.numbers[values.long()]

    def read(self, values: Tensor) -> Tensor:
        """Class numbers as int64."""
        return values if values.is_floating_point() else values.long()


class Vector(Field):
    """Numbers as they are: a point, a signal, measurements; the network reads float32."""

    mixes = True

    def read(self, values: Tensor) -> Tensor:
        """As float32."""
        return values.float()


def images() -> dict[str, Field]:
    """The fields of most datasets: an image and its class."""
    return {"image": Image(), "target": Label()}


def read(batch: dict[str, Tensor], fields: Mapping[str, Field]) -> dict[str, Tensor]:
    """Bring a fitted batch to what network and loss read."""
    return {name: fields[name].read(values) for name, values in batch.items()}


def fit(images: Tensor, channels: int, image_size: int | tuple[int, int]) -> Tensor:
    """Bring images, uint8 or float (..., C, H, W), to one size and number of channels.

    One channel of three is their luminance (ITU-R BT.601), three of one are the same grey; resizing is bilinear with
    antialiasing.

    Raises:
        UserError: other numbers of channels.
    """
    found = images.shape[-3]
    if found != channels:
        if {found, channels} != {1, 3}:
            raise UserError(f"dataset.channels={channels}: the data has {found}")
        if channels == 1:
            red, green, blue = images.unbind(-3)
            grey = 0.299 * red + 0.587 * green + 0.114 * blue
            images = (grey.round().to(images.dtype) if images.dtype == torch.uint8 else grey).unsqueeze(-3)
        else:
            images = images.expand(*images.shape[:-3], channels, -1, -1)
    sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if images.shape[-2:] != sides:
        batch = images if images.ndim == 4 else images.unsqueeze(0)
        batch = F.interpolate(batch, sides, mode="bilinear", antialias=True)
        images = batch if images.ndim == 4 else batch.squeeze(0)
    return images


def to_unit(images: Tensor) -> Tensor:
    """Pixels as floats in [0,1], of bytes or of such floats."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def middle(images: Tensor, sides: tuple[int, int]) -> Tensor:
    """The middle of images that are no smaller, as torchvision cuts it, whose import takes a second.

    Args:
        images: (..., H, W).
        sides: height and width of the middle.
    """
    top, left = (round((extent - side) / 2) for extent, side in zip(images.shape[-2:], sides, strict=True))
    return images[..., top : top + sides[0], left : left + sides[1]]
