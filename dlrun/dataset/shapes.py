"""Drawn shapes with captions that describe them: images and texts that need no data from outside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as Picture
from PIL import ImageDraw
from torch import Tensor

from dlrun.dataset.field import Field, Image, Label
from dlrun.dataset.source import Splits, TensorSource
from dlrun.dataset.vocabulary import Tokens, Vocabulary
from dlrun.errors import UserError, suggest

SIZES = {"small": 0.11, "large": 0.19}
"""A shape's radius, as a share of the image's side."""
COLOURS = {
    "red": (225, 45, 45),
    "green": (40, 190, 60),
    "blue": (60, 90, 235),
    "yellow": (240, 215, 50),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
PLACES = {
    "at the top left": (0.28, 0.28),
    "at the top right": (0.72, 0.28),
    "at the bottom left": (0.28, 0.72),
    "at the bottom right": (0.72, 0.72),
    "in the middle": (0.5, 0.5),
}
"""Where a shape's centre is, from the left and from the top, as shares of the image's side."""
WORDS = tuple(dict.fromkeys(["a", *SIZES, *COLOURS, *SHAPES, *" ".join(PLACES).split()]))
"""All that occur in captions."""
CLASSES = [f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES)]
"""Pairs of a colour and a shape."""
LONGEST = 8
"""Words of the longest caption."""
FINE = 4
"""Pixels are drawn so many times as fine, and averaged."""


class Combination(NamedTuple):
    """What is drawn."""

    size: str
    colour: str
    shape: str
    place: str

    def caption(self, with_size: bool = True, with_place: bool = True) -> list[str]:
        """The words that describe it."""
        text = f"a {self.size if with_size else ''} {self.colour} {self.shape} {self.place if with_place else ''}"
        return text.split()


def load(
    image_size: int = 32,
    train: int = 4_000,
    test: int = 1_000,
    held_out: str | Sequence[str] | None = None,
    brief: float = 0.0,
    scale: float = 1.0,
    length: int = 12,
    words: int = len(WORDS) + 2,
    seed: int = 0,
) -> Splits:
    """Images of one shape each, such as ``a small red circle at the top left``.

    Source: 001_6d5271d093cc63ab.txt, image captioning. A batch has ``image``; ``caption``, the numbers of its words,
    int64 (B, length), 0 behind the end; ``target``, which of the pairs of colour and shape it is; and ``held_out``, 1
    where the training has no such combination. Half of the images to test are of combinations held out, if there are
    any. Centre, radius and colour vary, on noise.

    Args:
        image_size: the image's side in pixels.
        train: images to train on.
        test: images to test on.
        held_out: combinations that are not trained on: words such as ``red circle`` or ``large blue ring``, each for
            all the combinations that have all of its words.
        brief: the probability that a caption leaves out the size, and the place, each by itself.
        scale: how much larger all shapes are drawn; above 1.4 they reach over the border.
        length: numbers of a caption: its words, and a 0 that ends it.
        words: numbers of the vocabulary, which is always the same.
        seed: of all images.

    Raises:
        UserError: captions do not fit in the length, another number of words, no probability or scale, a word of no
            combination, or combinations that leave nothing to train on.
    """
    if length <= LONGEST:
        raise UserError(
            f"dataset.source.length={length}: the longest caption has {LONGEST} words and an end;"
            f" expected {LONGEST + 1} or more"
        )
    if not 0 <= brief <= 1:
        raise UserError(f"dataset.source.brief={brief}: expected a probability, 0 to 1")
    if not 0 < scale <= 2:
        raise UserError(f"dataset.source.scale={scale}: expected a number above 0, to 2")
    known = Vocabulary(WORDS)
    if words != len(known):
        raise UserError(f"dataset.words={words}: expected {len(known)}, as many as the captions have")
    everything = [Combination(*parts) for parts in product(SIZES, COLOURS, SHAPES, PLACES)]
    kept, lacking = divided(everything, [held_out] if isinstance(held_out, str) else held_out or ())
    unseen = test // 2 if lacking else 0
    made = []
    for part, counts in enumerate(((train, 0), (test - unseen, unseen))):
        rng = np.random.default_rng([seed, part])
        chosen = [_drawn(choices, count, rng) for choices, count in zip((kept, lacking), counts, strict=True)]
        made.append(_source([*chosen[0], *chosen[1]], set(lacking), known, (image_size, scale), brief, length, rng))
    fields: dict[str, Field] = {"image": Image(), "caption": Tokens(known), "target": Label(), "held_out": Label()}
    return Splits(made[0], made[1], CLASSES, fields=fields)


def divided(everything: Sequence[Combination], held_out: Sequence[str]) -> tuple[list[Combination], list[Combination]]:
    """The combinations to train on, and those held out.

    Raises:
        UserError: a word of no combination, or an attribute is left without any to train on.
    """
    for text in held_out:
        for word in str(text).split() or [""]:
            if word not in WORDS[1:]:
                raise UserError(f"dataset.source.held_out={text}: no such word; {suggest(word, WORDS[1:])}")
    lacking = [one for one in everything if any({*str(text).split()} <= {*one.caption()} for text in held_out)]
    kept = [one for one in everything if one not in lacking]
    for name in Combination._fields:
        for value in {getattr(one, name): None for one in everything}:
            if not any(getattr(one, name) == value for one in kept):
                raise UserError(
                    f"dataset.source.held_out=[{','.join(map(str, held_out))}]: leaves no {name} {value!r} to train on;"
                    " expected combinations, such as [red circle,blue square]"
                )
    return kept, lacking


def _drawn(choices: Sequence[Combination], count: int, rng: np.random.Generator) -> list[Combination]:
    """So many of them by chance."""
    return [choices[place] for place in rng.integers(0, max(len(choices), 1), count)]


def _source(
    combinations: Sequence[Combination],
    lacking: set[Combination],
    known: Vocabulary,
    drawing: tuple[int, float],
    brief: float,
    length: int,
    rng: np.random.Generator,
) -> TensorSource:
    images = [picture(one, *drawing, rng) for one in combinations]
    told = rng.random((len(combinations), 2)) >= brief
    captions = [one.caption(*pair) for one, pair in zip(combinations, told.tolist(), strict=True)]
    return TensorSource(
        {
            "image": torch.stack(images) if images else torch.empty(0, 3, drawing[0], drawing[0], dtype=torch.uint8),
            "caption": known.encode(captions, length),
            "target": torch.tensor([CLASSES.index(f"{one.colour} {one.shape}") for one in combinations]),
            "held_out": torch.tensor([int(one in lacking) for one in combinations]),
        }
    )


def picture(one: Combination, side: int, scale: float, rng: np.random.Generator) -> Tensor:
    """A picture of a combination, uint8 (3, side, side), with shapes so many times as large as :data:`SIZES` says."""
    fine = side * FINE
    grey = int(rng.integers(20, 70))
    made = Picture.new("RGB", (fine, fine), (grey, grey, grey))
    x, y = (fine * (share + rng.uniform(-0.06, 0.06)) for share in PLACES[one.place])
    colour = np.clip(np.array(COLOURS[one.colour]) + rng.integers(-25, 26, 3), 0, 255)
    radius = fine * scale * SIZES[one.size] * rng.uniform(0.9, 1.1)
    _draw(ImageDraw.Draw(made), one.shape, (x, y), radius, tuple(colour.tolist()))
    pixels = np.asarray(made.resize((side, side), Picture.Resampling.BOX), dtype=np.float64)
    noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255)
    return torch.from_numpy(noisy.round().astype(np.uint8)).permute(2, 0, 1)


def _draw(
    pen: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, colour: tuple[int, ...]
) -> None:
    x, y = centre
    box = (x - radius, y - radius, x + radius, y + radius)
    thick = radius * 0.5
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "ring":
        pen.ellipse(box, outline=colour, width=round(thick * 0.8))
    elif shape == "square":
        half = radius * 0.85
        pen.rectangle((x - half, y - half, x + half, y + half), fill=colour)
    elif shape == "triangle":
        corners = [(x + radius * 1.15 * cos(turn), y + radius * 1.15 * sin(turn)) for turn in _turns(3)]
        pen.polygon(corners, fill=colour)
    else:
        pen.rectangle((x - radius, y - thick / 2, x + radius, y + thick / 2), fill=colour)
        pen.rectangle((x - thick / 2, y - radius, x + thick / 2, y + radius), fill=colour)


def _turns(corners: int) -> list[float]:
    """Angles of the corners of a regular polygon that stands on a side."""
    return [2 * pi * number / corners - pi / 2 for number in range(corners)]
