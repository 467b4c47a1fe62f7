"""The size that image files are brought to where the config names none: theirs, or a moderate one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from dlrun import console
from dlrun.dataset.image_file import side
from dlrun.errors import UserError

MODERATE = 96
"""Pixels at most, the size of STL-10: with 224, that of ImageNet, an epoch takes five times as long."""
STEP = 8
"""Larger sides are multiples of it, which a network can halve three times."""
SAMPLE = 500
"""Files whose headers are read at most."""


def moderate(paths: Sequence[Path]) -> int:
    """The size for these files; says which, and why.

    Args:
        paths: of the training images; some of them may be damaged.

    Returns:
        The median of their shorter sides, but :data:`MODERATE` at most.
    """
    with ThreadPoolExecutor() as pool:
        sides = [found for found in pool.map(_side, paths[:: -(-len(paths) // SAMPLE)]) if found]
    size = rounded(int(median(sides or [MODERATE])))
    if sides:
        extent = " to ".join(f"{side:,}" for side in sorted({min(sides), max(sides)}))
        console.say(f"dataset.image_size={size}, chosen by the images, whose shorter sides have {extent} pixels")
    return size


def rounded(size: int) -> int:
    """A size that networks can take, not larger.

    Example:
        >>> [rounded(size) for size in (28, 32, 50, 3024)]
        [28, 32, 48, 96]
    """
    return min(size if size <= 4 * STEP else size // STEP * STEP, MODERATE)


def _side(path: Path) -> int:
    try:
        return side(path)
    except UserError:  # of which is told when it is read
        return 0
