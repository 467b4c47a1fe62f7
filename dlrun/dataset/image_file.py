"""Image files of any kind as bytes of one kind: upright, opaque, 8 bits, grey or RGB."""

from __future__ import annotations

import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, _imaging
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from dlrun import console
from dlrun.dataset import libtiff
from dlrun.dataset.pixels import decoded, on_white
from dlrun.dataset.room import Room
from dlrun.errors import UserError
from dlrun.paths import shown

# Of all that Pillow reads, those that need no other program: a photo.png may be PostScript inside.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes the camera's rotation, by EXIF's number for it."""
PIXEL = 12
"""Bytes that a pixel takes while it is decoded, in all its copies, at most."""
TILE = (322, 323)  # TIFF's tags of its sides
_room = Room(2**30)  # for what is being decoded, however many threads do it
# In blocks so large that malloc takes each from the system and gives it back; smaller ones stay with every thread.
_imaging.set_block_size(2**26)

warnings.filterwarnings(
    "always", category=UserWarning, module=r"PIL\.|dlrun\.dataset\.image_file"
)  # said of each file, not once of all
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # refused below


def check_channels(channels: int) -> None:
    """Refuse a number of channels that an image file is not read as.

    Raises:
        UserError: it is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise UserError(f"dataset.channels={channels}: image files are read as 1 (grey) or 3 (RGB)")


def read_image(path: Path, channels: int = 3, image_size: int | tuple[int, int] | None = None) -> Tensor:
    """The pixels of an image file: of a file with several images, the first.

    The camera's rotation (EXIF) is undone, more than 8 bits are scaled to 8, palettes and CMYK become RGB, and what is
    transparent shows white. All threads together hold about 1 GiB of what they decode, or a single image.

    Args:
        path: the file; its content, not its suffix, says what it is.
        channels: 3 for RGB, 1 for the luminance (ITU-R BT.601).
        image_size: extent of the square that is cut out of the middle and resized, or height and width of what is no
            square; None keeps the image as it is.

    Returns:
        uint8, shape (channels, height, width).

    Raises:
        UserError: the file cannot be read, is damaged, or has more than Pillow's ``MAX_IMAGE_PIXELS``; or other
            channels are asked for.
    """
    check_channels(channels)
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    with _opened(path) as file:
        if sides is not None:
            file.draft("RGB", sides[::-1])  # JPEG: decode no larger than needed
        with _room.taken(file.width * file.height * PIXEL), closing(file):
            image = decoded(file)
            if sides is not None:  # first, so that the rest copies little
                image = ImageOps.fit(image, sides[::-1], Image.Resampling.BILINEAR)
            turn = UPRIGHT.get(file.getexif().get(ExifTags.Base.Orientation, 1))
            if turn is not None:
                image = image.transpose(turn)
            image = on_white(image).convert("RGB" if channels == 3 else "L")
            pixels = np.array(image)
    return torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1)


def side(path: Path) -> int:
    """The shorter side of an image in pixels, by the file's header.

    Raises:
        UserError: as :func:`read_image`.
    """
    with _opened(path) as file:
        return min(file.size)


def check_header(path: Path) -> None:
    """Refuse most files that :func:`read_image` refuses, without decoding the pixels."""
    with _opened(path) as file:
        if file.format != "PNG":  # which would be decoded
            file.getexif()  # for its warnings


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """An image file of a sane size; whatever a decoder raises meanwhile is an error of the user's."""
    most = Image.MAX_IMAGE_PIXELS or math.inf
    name, said = shown(path), list[str]()
    try:
        if not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode)):
            raise ValueError("no regular file")  # to open a pipe would wait for another program
        with console.about(name), libtiff.listening() as said, Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > most:
                raise ValueError(f"{file.width}x{file.height} pixels; expected {most:,} or fewer")
            if isinstance(file, TiffImageFile):  # a tile may be larger than the image, and is decoded as a whole
                width, height = (file.tag_v2.get(tag, 0) for tag in TILE)
                if width * height > most:
                    raise ValueError(f"tiles of {width}x{height} pixels; expected {most:,} or fewer")
            yield file
            if said:
                warnings.warn(said[0], stacklevel=1)
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise UserError(f"{name}: not a readable image (damaged, or of another kind than {kinds})") from None
    except Exception as error:  # a damaged file raises whatever the decoder stumbles over
        reason = said[0] if said else getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{name}: not a readable image ({reason.splitlines()[0]})") from None
