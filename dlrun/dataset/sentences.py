"""Sentences made by a small grammar: texts that need no data from outside."""

from __future__ import annotations

import numpy as np

from dlrun.dataset.source import Splits
from dlrun.dataset.texts import Labelled, encoded

TOPICS = {
    "weather": (
        ("rain", "snow", "wind", "fog", "thunder"),
        ("falls over", "reaches", "leaves", "covers"),
        ("the coast", "the valley", "the hills", "the islands"),
    ),
    "sport": (
        ("the team", "a goalkeeper", "a runner", "the coach"),
        ("wins", "loses", "misses", "prepares"),
        ("the final", "a match", "a race", "the season"),
    ),
    "music": (
        ("the orchestra", "a singer", "the pianist", "the choir"),
        ("plays", "rehearses", "records", "opens with"),
        ("a sonata", "the concerto", "an old song", "the symphony"),
    ),
    "cooking": (
        ("the cook", "the baker", "a guest", "the kitchen"),
        ("bakes", "tastes", "serves", "burns"),
        ("the bread", "a soup", "the cake", "an apple pie"),
    ),
}
"""Subjects, verbs and objects of each class."""
FILLERS = ("today", "again", "in the evening", "as always", "at last", "for once", "near the town", "on sunday")


def load(
    count: int = 200, noise: float = 0.4, length: int = 24, words: int = 128, vocabulary: str | None = None
) -> Splits:
    """So many texts of each of four topics to train, and as many to test.

    A text is two or three sentences of subject, verb and object, with a filler now and then. With a probability of
    ``noise`` each part of a sentence, drawn on its own, is that of any topic, so single words may mislead.

    Args:
        count: texts of each topic in each part.
        noise: probability.
        length: words of a text that are read.
        words: most words of the vocabulary.
        vocabulary: a file with the words of an earlier run.
    """
    parts = {split: _texts(count, noise, seed) for seed, split in enumerate(("train", "test"))}
    return encoded(parts, sorted(TOPICS), length, words, vocabulary=vocabulary)


def _texts(count: int, noise: float, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    made: Labelled = []
    for number in range(count * len(names)):
        topic = names[number % len(names)]
        words: list[str] = []
        for _ in range(int(rng.integers(2, 4))):
            for place in range(3):
                of = names[rng.integers(len(names))] if rng.random() < noise else topic
                choices = TOPICS[of][place]
                words += choices[rng.integers(len(choices))].split()
            if rng.random() < 0.5:
                words += FILLERS[rng.integers(len(FILLERS))].split()
        made.append((topic, words))
    return made
