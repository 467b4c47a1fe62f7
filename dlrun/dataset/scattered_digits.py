"""Digits scattered over a canvas, with the class of every pixel: a small problem of semantic segmentation."""

from __future__ import annotations

import numpy as np
import torch

from dlrun.dataset.field import Image, Mask, fit
from dlrun.dataset.source import MapStyle, Splits, TensorSource
from dlrun.dataset.two_digits import single_digits
from dlrun.errors import UserError

INK = 64
"""The least brightness, of 255, of a pixel that belongs to a digit."""
TRIES = 50
"""Places that are tried for a digit, which must not touch another one's square."""


def load(
    root: str | None = None,
    image_size: int = 64,
    shape: list[int] | None = None,
    source: str = "mnist",
    digit_size: int = 28,
    most: int = 3,
    train: int = 4_000,
    test: int = 500,
) -> Splits:
    """Canvases with one to ``most`` digits at random places, each in a square of its own, and the class of each pixel.

    Class 0 is the background, class d + 1 the digit d (002_650a5abb4bbbf8e1.txt, segmentation sémantique).

    Args:
        root: the folder that holds MNIST.
        image_size: the canvas's side in pixels.
        shape: (1, height, width) of a canvas that is no square; None for a square.
        source: of what is put on it, :func:`dlrun.dataset.two_digits.single_digits`.
        digit_size: a digit's side in pixels.
        most: digits on a canvas, where there is room for them.
        train: canvases to train on.
        test: canvases to test on, of digits that no training canvas shows.

    Raises:
        UserError: another source, digits larger than the canvas, or no MNIST in ``root``.
    """
    height, width = shape[1:] if shape else (image_size, image_size)
    if digit_size > min(height, width):
        raise UserError(
            f"dataset.source.digit_size={digit_size}: larger than the canvas; expected {min(height, width)} or less"
        )
    single = single_digits(source, root, digit_size)
    splits = [
        _canvases(digits, (height, width), digit_size, most, count, seed)
        for digits, count, seed in ((single.train, train, 0), (single.test, test, 1))
    ]
    classes = ["background", *single.classes]
    return Splits(splits[0], splits[1], classes, fields={"image": Image(), "mask": Mask()})


def _canvases(
    digits: MapStyle, sides: tuple[int, int], digit_size: int, most: int, count: int, seed: int
) -> TensorSource:
    assert isinstance(digits, TensorSource)
    rng = np.random.default_rng(seed)
    glyphs = fit(digits.tensors["image"], 1, digit_size)
    images = torch.zeros(count, 1, *sides, dtype=torch.uint8)
    masks = torch.zeros(count, *sides, dtype=torch.uint8)
    for number in range(count):
        taken: list[tuple[int, int]] = []
        for _ in range(int(rng.integers(1, most + 1))):
            place = _free_place(taken, sides, digit_size, rng)
            if place is None:
                break
            taken.append(place)
            top, left = place
            chosen = int(rng.integers(len(glyphs)))
            glyph = glyphs[chosen, 0]
            window = (number, slice(top, top + digit_size), slice(left, left + digit_size))
            images[:, 0][window] = glyph
            masks[window] = torch.where(glyph >= INK, int(digits.targets[chosen]) + 1, 0).to(torch.uint8)
    return TensorSource({"image": images, "mask": masks})


def _free_place(
    taken: list[tuple[int, int]], sides: tuple[int, int], digit_size: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """The corner of a square that touches none of those with these corners; None where none was found."""
    for _ in range(TRIES):
        top, left = rng.integers(0, np.array(sides) - digit_size + 1)
        if all(abs(top - other) >= digit_size or abs(left - beside) >= digit_size for other, beside in taken):
            return int(top), int(left)
    return None
