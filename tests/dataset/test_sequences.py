"""Sums and words as sequences of letters: what they say, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dlrun.dataset import sequences
from dlrun.dataset.source import Splits, TensorSource
from dlrun.errors import UserError


def texts(splits: Splits, part: str, name: str) -> list[str]:
    source = getattr(splits, part)
    assert isinstance(source, TensorSource)
    found = splits.fields[name].shown(source.tensors[name])
    assert isinstance(found, list)
    return found


def test_sums_are_right_and_all_different() -> None:
    splits = sequences.addition(train=8000, test=2000)
    asked = [text for part in ("train", "test") for text in texts(splits, part, "tokens")]
    answers = [text for part in ("train", "test") for text in texts(splits, part, "answer")]
    assert len(set(asked)) == 10_000  # that is all there are
    assert all(
        sum(map(int, question.split("+"))) == int(answer) for question, answer in zip(asked, answers, strict=True)
    )
    assert {len(text) for text in asked} == {3, 4, 5}


def test_numbers_of_many_digits_are_drawn_without_listing_all() -> None:
    splits = sequences.addition(number_digits=9, train=20, test=5, length=19)
    (first, second), answer = texts(splits, "train", "tokens")[0].split("+"), texts(splits, "train", "answer")[0]
    assert int(first) + int(second) == int(answer)


def test_words_are_read_backwards_and_all_lengths_occur() -> None:
    splits = sequences.reversal(shortest=2, longest=6, train=300, test=50, length=7)
    words = texts(splits, "train", "tokens")
    assert texts(splits, "train", "answer") == [word[::-1] for word in words]
    assert {len(word) for word in words} == {2, 3, 4, 5, 6}
    again = sequences.reversal(shortest=2, longest=6, train=300, test=50, length=7)
    assert texts(again, "test", "tokens") == texts(splits, "test", "tokens")
    assert not set(texts(splits, "test", "tokens")) <= set(words)
    assert isinstance(splits.train, TensorSource)
    assert bool((splits.train.tensors["answer"][:, -1] == 0).all())  # room for the end
    assert splits.fields["tokens"].read(splits.train.tensors["tokens"]).dtype == torch.int64


@pytest.mark.parametrize(
    ("load", "options", "message"),
    [
        (sequences.addition, {"number_digits": 0}, r"dataset\.source\.number_digits=0: expected digits .*1 to 9"),
        (sequences.addition, {"train": 9500}, r"train=9500: with test=1000 more than the 10,000 sums"),
        (sequences.addition, {"length": 4}, r"dataset\.shape=\[4\]: too short for two numbers .*; expected 5 or more"),
        (sequences.addition, {"words": 9}, r"dataset\.words=9: expected 13"),
        (sequences.reversal, {"shortest": 0}, r"dataset\.source\.shortest=0: expected letters .*1 to longest=12"),
        (sequences.reversal, {"shortest": 13}, r"dataset\.source\.shortest=13"),
        (sequences.reversal, {"length": 12}, r"dataset\.shape=\[12\]: too short for a word of 12 letters, and its end"),
    ],
)
def test_what_cannot_be_is_named(load: Callable[..., Splits], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(**options)
