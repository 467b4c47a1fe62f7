"""Sequences of letters to be answered by another sequence: sums of two numbers, and words read backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase, digits

import numpy as np
import torch
from torch import Tensor

from dlrun.dataset.field import Field
from dlrun.dataset.source import Splits, TensorSource
from dlrun.dataset.vocabulary import Tokens, Vocabulary
from dlrun.errors import UserError

MOST = 9
"""Digits of a number: sums stay far below what an int64 holds."""


@dataclass(frozen=True)
class Letters(Tokens):
    """A text of single letters, shown without blanks between them."""

    def shown(self, values: Tensor) -> list[str]:
        """The texts."""
        return [text.replace(" ", "") for text in super().shown(values)]


def addition(
    number_digits: int = 2,
    train: int = 5_000,
    test: int = 1_000,
    length: int = 5,
    words: int = len(digits) + 3,
    seed: int = 0,
) -> Splits:
    """Sums of two numbers, such as ``34+57``, with their answers, such as ``91`` (Sutskever et al. 2014's networks).

    Numbers are those from 0 on with so many digits or fewer. No two examples have the same question.

    Args:
        number_digits: of a number, at most.
        train: sums to train on.
        test: sums to test on.
        length: numbers that a question has, padding included; an answer has as many, its end included.
        words: numbers of the vocabulary, which is always the same.
        seed: of all sums.

    Raises:
        UserError: no digits, too many of them, more sums than there are, a length that they do not fit in, or another
            number of words.
    """
    _check(digits + "+", length, 2 * number_digits + 1, words, f"two numbers of {number_digits} digits")
    if not 1 <= number_digits <= MOST:
        raise UserError(f"dataset.source.number_digits={number_digits}: expected digits of a number, 1 to {MOST}")
    count = 10**number_digits
    if train + test > count**2:
        raise UserError(
            f"dataset.source.train={train}: with test={test} more than the {count**2:,} sums of such numbers"
        )
    pairs = _different(count**2, train + test, np.random.default_rng(seed))
    questions = [f"{pair // count}+{pair % count}" for pair in pairs]
    answers = [str(pair // count + pair % count) for pair in pairs]
    return _splits(questions, answers, train, digits + "+", length)


def reversal(
    shortest: int = 3,
    longest: int = 12,
    train: int = 5_000,
    test: int = 1_000,
    length: int = 13,
    words: int = len(ascii_lowercase) + 2,
    seed: int = 0,
) -> Splits:
    """Words of letters by chance, such as ``dlrun``, and the same backwards; all lengths are as frequent.

    Args:
        shortest: letters of a word.
        longest: letters of a word.
        train: words to train on.
        test: words to test on.
        length: numbers that a word has, padding included; an answer has as many, its end included.
        words: numbers of the vocabulary, which is always the same.
        seed: of all words.

    Raises:
        UserError: words without letters, the shortest is longer than the longest, a length that they do not fit in, or
            another number of words.
    """
    _check(ascii_lowercase, length, longest + 1, words, f"a word of {longest} letters, and its end")
    if not 1 <= shortest <= longest:
        raise UserError(f"dataset.source.shortest={shortest}: expected letters of a word, 1 to longest={longest}")
    rng = np.random.default_rng(seed)
    letters = np.array(list(ascii_lowercase))
    made = ["".join(rng.choice(letters, size)) for size in rng.integers(shortest, longest + 1, train + test)]
    return _splits(made, [word[::-1] for word in made], train, ascii_lowercase, length)


def _check(letters: str, length: int, needed: int, words: int, what: str) -> None:
    if length < needed:
        raise UserError(f"dataset.shape=[{length}]: too short for {what}; expected {needed} or more")
    if words != (expected := len(letters) + 2):
        raise UserError(f"dataset.words={words}: expected {expected}, as many as the letters have")


def _different(total: int, count: int, rng: np.random.Generator) -> list[int]:
    """So many different numbers below a total, by chance."""
    if total <= 10**7:
        return [int(number) for number in rng.permutation(total)[:count]]
    found: dict[int, None] = {}
    while len(found) < count:
        found |= dict.fromkeys(rng.integers(0, total, count - len(found)).tolist())
    return list(found)


def _splits(questions: Sequence[str], answers: Sequence[str], train: int, letters: str, length: int) -> Splits:
    known = Vocabulary(tuple(letters))
    tensors = {
        name: known.encode([list(text) for text in texts], length)
        for name, texts in (("tokens", questions), ("answer", answers))
    }
    places = (torch.arange(train), torch.arange(train, len(questions)))
    parts = [TensorSource({name: values[chosen] for name, values in tensors.items()}) for chosen in places]
    fields: dict[str, Field] = {"tokens": Letters(known), "answer": Letters(known)}
    return Splits(parts[0], parts[1], fields=fields)
