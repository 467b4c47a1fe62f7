"""What an image file holds as pixels of 8 bits: what formats leave to their readers, and Pillow gets wrong."""

from __future__ import annotations

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

MOST = 65535  # a level of 16 bits
ROWS = 256  # of 16-bit pixels that are scaled at once
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # TIFF
KEY_SCALES = {"L;2": 85, "L;4": 17}
"""By how much Pillow scales grey levels of fewer than 8 bits, but not the level that stands for transparent."""


def decoded(file: ImageFile) -> Image.Image:
    """The pixels of an opened file, in a mode whose mean over pixels has a meaning.

    Returns:
        Mode L or RGB; where anything is transparent RGBa, with colours multiplied by alpha.

    Raises:
        ValueError: the range of the pixels is not known.
    """
    coding = file.tile[0].args if isinstance(file, PngImagePlugin.PngImageFile) and file.tile else ""
    if coding in KEY_SCALES and "transparency" in file.info:
        file.info["transparency"] *= KEY_SCALES[coding]
    if coding == "RGB;16B" and "transparency" in file.info:
        return _key_of_sixteen_bits(file).convert("RGBa")
    file.load()
    if file.mode == "F":
        raise ValueError("pixels are fractions, of an unknown range")
    if file.mode.startswith("I"):
        return _eight_bits(file)
    if file.has_transparency_data:
        return (file if file.mode == "RGBA" else file.convert("RGBA")).convert("RGBa")
    mode = "L" if file.mode in ("1", "L") else "RGB"
    return file if file.mode == mode else file.convert(mode)


def on_white(image: Image.Image) -> Image.Image:
    """An image of :func:`decoded` in front of white."""
    if image.mode != "RGBa":
        return image
    pixels = np.asarray(image)
    return Image.fromarray(pixels[..., :3] + (255 - pixels[..., 3:]))


def _eight_bits(file: ImageFile) -> Image.Image:
    """Grey levels of 9 to 16 bits scaled to 8, in front of white; Pillow would clip them."""
    most, falling = MOST, False
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        if file.mode == "I":
            raise ValueError("grey levels of more than 16 bits, or signed ones, of an unknown range")
        most = 2 ** file.tag_v2.get(BITS_PER_SAMPLE, (16,))[0] - 1
        falling = file.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    levels = np.arange(MOST + 1).clip(max=most)
    scaled = (2 * 255 * (most - levels if falling else levels) + most) // (2 * most)
    if (key := file.info.get("transparency")) is not None:
        scaled[key] = 255
    table = scaled.tolist()
    grey = Image.new("L", file.size)
    for top in range(0, file.height, ROWS):
        box = (0, top, file.width, min(top + ROWS, file.height))
        grey.paste(file.crop(box).convert("I").point(table, "L"), box)
    return grey


def _key_of_sixteen_bits(file: ImageFile) -> Image.Image:
    """A colour PNG of 16 bits and the colour that stands for transparent: it must be equal in the lower bytes too."""
    with Image.open(file.filename, formats=("PNG",)) as again:
        assert isinstance(again, ImageFile)
        again.tile = [again.tile[0]._replace(args="RGB;16L")]  # the byte that is left out else
        file.load()
        key = np.array(file.info.pop("transparency"))
        is_key = (np.asarray(file) == key >> 8).all(-1) & (np.asarray(again) == key & 255).all(-1)
    image = file.copy()
    image.putalpha(Image.fromarray(np.where(is_key, 0, 255).astype(np.uint8)))
    return image
