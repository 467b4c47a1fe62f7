"""Texts that fit their place, measured with the font in which they are drawn."""

from __future__ import annotations

import re
import warnings
from functools import cache

from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font, LoadFlags

POINTS = 72
"""Points in an inch."""
LEADING = 1.3
"""Between lines, in sizes of the font."""
NORMS = {"linf": r"$L_\infty$", "l2": "$L_2$"}
"""As mathematics writes them."""


@cache
def _font() -> FT2Font:
    font = FT2Font(findfont("DejaVu Sans"))
    font.set_size(100, POINTS)
    return font


@cache
def width(text: str, size: float) -> float:
    """Inches that one line takes in a font of so many points; a formula in dollars counts as two letters.

    A dollar that is meant as such has a backslash before it (:func:`verbatim`).
    """
    shown = re.sub(r"(?<!\\)\$[^$]*(?<!\\)\$", "Lo", text).replace(r"\$", "$")
    with warnings.catch_warnings():  # of letters that the font lacks
        warnings.simplefilter("ignore")
        _font().set_text(shown, 0.0, flags=LoadFlags.NO_HINTING)
    return float(_font().get_width_height()[0]) / 64 / 100 * size / POINTS


def counted(number: int, thing: str) -> str:
    """So many things: ``1 image``, ``2,000 images``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def wrapped(text: str, inches: float, size: float, lines: int = 3) -> str:
    """The text in lines of at most so many inches; what does not fit into so many lines is left out behind a ``…``."""
    done, line = [], ""
    for word in text.split(" "):  # and no other blank, so that some hold words together
        longer = f"{line} {word}".strip()
        if line and width(longer, size) > inches:
            done.append(line)
            line = word
        else:
            line = longer
    done.append(line)
    if len(done) > lines:
        done[lines - 1] += "…"
    return "\n".join(shortened(line, inches, size) for line in done[:lines])


def shortened(text: str, inches: float, size: float) -> str:
    """The text, or its beginning and a ``…``, in at most so many inches."""
    if width(text, size) <= inches:
        return text
    text = text.rstrip("…")
    while text and width(text + "…", size) > inches:
        text = text[:-1].rstrip("\\")
    return text + "…"


def verbatim(text: str) -> str:
    """A name as it is, in a text that may have formulas in dollars."""
    return text.replace("$", r"\$")


def height(text: str, size: float) -> float:
    """Inches that a text of one or more lines takes; none for no text."""
    return (text.count("\n") + 1) * size * LEADING / POINTS if text else 0.0


def percent(value: float) -> str:
    """A probability for people, who know that no model is certain.

    Example:
        >>> percent(0.25), percent(0.9999), percent(0.0001)
        ('25.0%', '>99.9%', '<0.1%')
    """
    return ">99.9%" if value >= 0.9995 else "<0.1%" if value < 0.0005 else f"{value:.1%}"
