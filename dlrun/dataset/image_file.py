"""Image files of any kind as bytes of one kind: upright, opaque, 8 bits, grey or RGB."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from dlrun.errors import UserError

# Of all that Pillow reads, those that need no other program: a photo.png may be PostScript inside.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
BACKGROUND = "white"
"""What shows through where an image is transparent."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # refused below


def read_image(path: Path, channels: int = 3, image_size: int | None = None) -> Tensor:
    """The pixels of an image file: of a file with several images, the first.

    The camera's rotation (EXIF) is undone, 16 bits are scaled to 8, palettes and CMYK become RGB, and what is
    transparent shows :data:`BACKGROUND`.

    Args:
        path: the file; its content, not its suffix, says what it is.
        channels: 3 for RGB, 1 for the luminance (ITU-R BT.601).
        image_size: extent of the square that is cut out of the middle and resized; None keeps the image as it is.

    Returns:
        uint8, shape (channels, height, width).

    Raises:
        UserError: the file cannot be read, is damaged, or has more than Pillow's ``MAX_IMAGE_PIXELS``.
    """
    with _opened(path) as file:
        if image_size is not None:
            file.draft("RGB", (image_size, image_size))  # JPEG: decode no larger than needed
        image = _opaque(_eight_bits(ImageOps.exif_transpose(file))).convert("RGB" if channels == 3 else "L")
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).view(image.height, image.width, channels).permute(2, 0, 1)


def check_header(path: Path) -> None:
    """Refuse most files that :func:`read_image` refuses, without decoding the pixels."""
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file of a sane size; whatever a decoder raises meanwhile is an error of the user's."""
    most = Image.MAX_IMAGE_PIXELS or math.inf
    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > most:
                raise ValueError(f"{file.width}x{file.height} pixels; expected {most:,} or fewer")
            yield file
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a readable image (its format is none of {', '.join(FORMATS)})") from None
    except Exception as error:  # a damaged file raises whatever the decoder stumbles over
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: not a readable image ({reason.splitlines()[0]})") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels of 16 bits scaled to 8; Pillow would clip them."""
    if image.mode == "F":
        raise ValueError("pixels are fractions, of an unknown range")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("grey levels of more than 16 bits")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """An image with an alpha channel, or a colour that stands for transparent, in front of the background."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
