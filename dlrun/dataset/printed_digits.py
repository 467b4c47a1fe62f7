"""Printed digits: those of the fonts that come with matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dlrun.dataset.field import fit
from dlrun.dataset.source import Splits, TensorSource, from_arrays

SANS = tuple(f"DejaVuSans{kind}{style}" for kind in ("", "Mono") for style in ("", "-Bold", "-Oblique", "-BoldOblique"))
SERIF = (
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
ANGLES = (-10, 0, 10)
"""Degrees by which each is turned."""
SIDE, HEIGHT = 64, 48
"""Pixels of the canvas that a digit is drawn on, and of the digit."""


def load(image_size: int = 28) -> Splits:
    """White digits on black: eight fonts without serifs to train on, and twelve others to test on.

    Args:
        image_size: side in pixels.
    """
    return Splits(_drawn(SANS, image_size), _drawn(SERIF, image_size), [str(name) for name in range(10)])


def _drawn(fonts: tuple[str, ...], image_size: int) -> TensorSource:
    """Each digit in each font, turned by each angle."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    made = [
        np.asarray(_digit(str(digit), ImageFont.truetype(folder / f"{font}.ttf", 3 * SIDE)).rotate(angle))
        for digit in range(10)
        for font in fonts
        for angle in ANGLES
    ]
    source = from_arrays(np.stack(made), np.repeat(np.arange(10), len(fonts) * len(ANGLES)))
    source.tensors["image"] = fit(source.tensors["image"], 1, image_size)
    return source


def _digit(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A digit in the middle of a canvas, all of the same height."""
    left, top, right, bottom = (round(side) for side in font.getbbox(text))
    glyph = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(glyph).text((-left, -top), text, fill=255, font=font)
    glyph = glyph.resize((max(1, round(glyph.width * HEIGHT / glyph.height)), HEIGHT))
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(glyph, ((SIDE - glyph.width) // 2, (SIDE - HEIGHT) // 2))
    return canvas
