"""Texts: words and their numbers, the ways that they lie on a disk, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlrun.dataset import sentences, texts
from dlrun.dataset.source import TensorSource
from dlrun.dataset.vocabulary import PADDING, UNKNOWN, Tokens, Vocabulary, words_of
from dlrun.errors import UserError


def written(root: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root)


def test_words_are_those_of_any_script_in_small_letters() -> None:
    text = "L'École n'a PAS d\N{RIGHT SINGLE QUOTATION MARK}élèves, 3.5%\n斑马 a_b"
    apostrophe = "d\N{RIGHT SINGLE QUOTATION MARK}élèves"
    assert words_of(text) == ["l'école", "n'a", "pas", apostrophe, "3", "5", "斑马", "a", "b"]


def test_a_vocabulary_has_the_most_frequent_words_and_numbers_for_the_rest() -> None:
    known = Vocabulary.of([["b", "a", "c"], ["b", "c", "d"]], most=4)
    assert known.words == ("b", "c")
    numbers = known.encode([["c", "a", "b", "b", "b"], ["c"]], length=4)
    assert numbers.tolist() == [[3, UNKNOWN, 2, 2], [3, PADDING, PADDING, PADDING]]
    assert Tokens(known).shown(numbers) == ["c ? b b", "c"]
    assert Tokens(known).read(numbers).dtype == torch.int64


def test_a_vocabulary_comes_back_from_its_file(tmp_path: Path) -> None:
    known = Vocabulary(("é", "斑马", "it's"))
    for name, text in Tokens(known).files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert Vocabulary.read(tmp_path / name) == known


def test_class_folders_and_tables_give_the_same(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "folder",
        {
            "train/good/1.txt": "a fine day",
            "train/bad/1.txt": b"\xef\xbb\xbfno day",
            "test/good/sub/x.TXT": "fine new",
            "test/bad/.hidden.txt": b"\xff",
            "test/bad/notes.md": "no",
            "test/bad/2.txt": "no no",
        },
    )
    table = written(
        tmp_path / "table",
        {"train.tsv": "bad\tno day\r\n\ngood\ta fine day\n", "test.tsv": "bad\tno no\ngood\tfine new"},
    )
    found = [texts.load(root, length=4, words=10) for root in (folder, table)]
    for splits in found:
        assert splits.classes == ["bad", "good"]
        tokens = splits.fields["tokens"]
        assert isinstance(tokens, Tokens)
        assert tokens.vocabulary.words == ("day", "a", "fine", "no")  # nothing of the test
        assert isinstance(splits.test, TensorSource)
        assert tokens.shown(splits.test.tensors["tokens"]) == ["no no", "fine ?"]
        assert splits.test.targets.tolist() == [0, 1]


def test_one_table_is_split_by_class(tmp_path: Path) -> None:
    root = written(tmp_path, {"all.tsv": "a\tone\n" * 10 + "b\ttwo\n" * 20})
    splits = texts.load(f"{root}/all.tsv", test_fraction=0.2)
    assert isinstance(splits.test, TensorSource)
    assert splits.test.targets.bincount().tolist() == [2, 4]
    assert len(splits.train) == 24


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.tsv": "a\tone\nb\t!?\n"}, r"train\.tsv, line 2: a text without words; expected"),
        ({"train.tsv": "a one\nb\ttwo"}, r"train\.tsv, line 1: no tab; expected a class, a tab and a text"),
        ({"train.tsv": "a\tone\na\ttwo"}, r"one class \(a\); expected"),
        ({"train.tsv": ""}, "no texts; expected"),
        ({"train.tsv": b"a\tone\nb\tcaf\xe9"}, r"train\.tsv: byte 12 is no UTF-8; expected text in UTF-8"),
        ({"train.tsv": "a\tone\nb\ttwo", "test.tsv": "c\tone"}, "test has classes that training lacks: c"),
        ({"a/1.txt": "one", "b/1.txt": " \n"}, r"b/1\.txt: a text without words"),
        ({"a/1.txt": "one", "b/1.txt": b"\x80"}, r"b/1\.txt: byte 1 is no UTF-8"),
        ({"a/1.txt": "one"}, r"one class \(a\)"),
        ({"notes.md": "one"}, "no texts; expected a folder for each class"),
    ],
)
def test_wrong_texts_are_named(files: dict[str, str | bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^dataset\.root[=:].*{message}"):
        texts.load(written(tmp_path, files))


def test_sentences_are_the_same_every_time_and_differ_between_the_parts() -> None:
    first, again = sentences.load(count=10), sentences.load(count=10)
    parts = [part for splits in (first, again) for part in (splits.train, splits.test)]
    train, test, same, _ = [part.tensors for part in parts if isinstance(part, TensorSource)]
    assert torch.equal(train["tokens"], same["tokens"])
    assert not torch.equal(train["tokens"], test["tokens"])
    assert train["target"].bincount().tolist() == [10] * 4
