"""Texts as numbers: the words that a dataset knows, and the field of a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from dlrun.dataset.field import Field
from dlrun.errors import UserError
from dlrun.paths import shown

PADDING, UNKNOWN = 0, 1
"""The numbers that stand for no word, behind the end of a text, and for a word that the vocabulary lacks."""
SPECIAL = 2
"""How many numbers stand for no word of the vocabulary."""
FILE = "vocabulary.txt"
"""In a run's folder: the words in the order of their numbers, a line each."""
WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in small letters: letters and digits of any script, an apostrophe between them too.

    Example:
        >>> words_of("Don't sell, 3 times!")
        ["don't", 'sell', '3', 'times']
    """
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers, from :data:`SPECIAL` on.

    Args:
        words: the most frequent first.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], most: int) -> Vocabulary:
        """The most frequent words of some texts, so many with the special numbers; of equals the first by letters."""
        counts = Counter(word for text in texts for word in text)
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(tuple(ordered[: most - SPECIAL]))

    @classmethod
    def read(cls, file: Path) -> Vocabulary:
        """That of a file, a word a line.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            return cls(tuple(file.read_text(encoding="utf-8").split("\n")[:-1]))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
            raise UserError(f"dataset.source.vocabulary={shown(file)}: cannot be read ({reason})") from None

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words, start=SPECIAL)}

    def __len__(self) -> int:
        """How many numbers there are, the special ones included."""
        return len(self.words) + SPECIAL

    def encode(self, texts: Sequence[Sequence[str]], length: int) -> Tensor:
        """The numbers of the first ``length`` words of each text, int32 (N, length), then :data:`PADDING`."""
        made = torch.zeros(len(texts), length, dtype=torch.int32)
        for row, text in enumerate(texts):
            numbers = [self.numbers.get(word, UNKNOWN) for word in text[:length]]
            made[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.int32)
        return made

    def decode(self, numbers: Tensor) -> str:
        """The words of a text, int (L,), with a question mark for those that are not known."""
        named = ["", "?", *self.words]
        return " ".join(named[number] for number in numbers.tolist() if number != PADDING)


@dataclass(frozen=True)
class Tokens(Field):
    """A text: numbers of words, int (L,), then :data:`PADDING`; the network reads int64.

    Args:
        vocabulary: what the numbers mean.
    """

    vocabulary: Vocabulary

    def read(self, values: Tensor) -> Tensor:
        """Numbers as int64."""
        return values.long()

    def shown(self, values: Tensor) -> list[str]:
        """The texts."""
        return [self.vocabulary.decode(text) for text in values]

    def files(self) -> dict[str, str]:
        """The vocabulary."""
        return {FILE: "".join(f"{word}\n" for word in self.vocabulary.words)}
