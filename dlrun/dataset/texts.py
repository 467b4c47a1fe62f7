"""One's own texts: a folder for each class with files ``.txt``, or tables with a class and a text in each line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dlrun.dataset import folder_tree
from dlrun.dataset.field import Label
from dlrun.dataset.source import Splits, TensorSource, stratified
from dlrun.dataset.vocabulary import Tokens, Vocabulary, words_of
from dlrun.errors import UserError
from dlrun.paths import shown

Labelled = list[tuple[str, list[str]]]
"""The class and the words of each text."""
EXPECTED = "expected a folder for each class with files .txt, a file .tsv, or a folder with train.tsv and test.tsv"


def load(
    root: str,
    length: int = 200,
    words: int = 10_000,
    test_fraction: float = 0.2,
    seed: int = 0,
    vocabulary: str | None = None,
) -> Splits:
    """The texts below ``root``: ``[{train,val,test}/]CLASS/*.txt``, ``{train,val,test}.tsv``, or one file ``.tsv``.

    A line of a table is a class, a tab, and a text. Files are in UTF-8. Without a part for the test, ``test_fraction``
    of the texts is split off by ``seed``, class by class. The vocabulary is that of the texts to train and to validate.

    Args:
        root: the folder, or the file.
        length: words of a text that are read, from its beginning.
        words: most words of the vocabulary, that for padding and the unknown one included.
        test_fraction: of the texts, for the test.
        seed: of this split.
        vocabulary: a file with the words of an earlier run; None takes those of the texts.

    Raises:
        UserError: no such folder or file, no texts, one class alone, a class that training lacks, an empty text, or
            what is no UTF-8.
    """
    place = Path(root)
    if place.is_dir():
        tables = {split: place / f"{split}.tsv" for split in ("train", "val", "test")}
        found = {split: table(file) for split, file in tables.items() if file.exists()}
        found = found if "train" in found else class_folders(place)
    elif place.is_file():
        found = {"train": table(place)}
    else:
        raise UserError(f"dataset.root={shown(root)}: no such folder or file; {EXPECTED}")
    classes = sorted({name for name, _ in found["train"]})
    if len(classes) < 2:
        some = f"one class ({classes[0]})" if classes else "no texts"
        raise UserError(f"dataset.root={shown(root)}: {some}; {EXPECTED}, of two or more classes")
    return encoded(found, classes, length, words, test_fraction, seed, vocabulary)


def encoded(
    found: dict[str, Labelled],
    classes: list[str],
    length: int,
    words: int,
    test_fraction: float = 0.2,
    seed: int = 0,
    vocabulary: str | None = None,
) -> Splits:
    """Texts by split as numbers; the arguments are those of :func:`load`.

    Raises:
        UserError: a split has a class that training lacks.
    """
    for split, texts in found.items():
        if unknown := sorted({name for name, _ in texts} - set(classes)):
            raise UserError(f"dataset.root: {split} has classes that training lacks: {folder_tree.listed(unknown)}")
    targets = {split: torch.tensor([classes.index(name) for name, _ in texts]) for split, texts in found.items()}
    parts = {split: [text for _, text in texts] for split, texts in found.items()}
    own = frozenset(parts)
    if "test" not in parts:
        rest, held_out = (part.tolist() for part in stratified(targets["train"], test_fraction, seed))
        parts["test"], targets["test"] = [parts["train"][i] for i in held_out], targets["train"][held_out]
        parts["train"], targets["train"] = [parts["train"][i] for i in rest], targets["train"][rest]
    if vocabulary is None:
        known = Vocabulary.of([*parts["train"], *parts.get("val", ())], words)
    else:
        known = Vocabulary.read(Path(vocabulary))
    made = {
        split: TensorSource({"tokens": known.encode(texts, length), "target": targets[split]})
        for split, texts in parts.items()
    }
    fields = {"tokens": Tokens(known), "target": Label()}
    return Splits(made["train"], made["test"], classes, made.get("val"), fields=fields, own=own)


def table(file: Path) -> Labelled:
    """The texts of a table; empty lines are left out.

    Raises:
        UserError: names file and line of what is wrong.
    """
    found = []
    for number, line in enumerate(decoded(file).split("\n"), start=1):
        name, tab, text = line.strip().partition("\t")
        if not name:
            continue
        if not (tab and words_of(text)):
            what = "a text without words" if tab else "no tab"
            raise UserError(f"dataset.root: {shown(file)}, line {number}: {what}; expected a class, a tab and a text")
        found.append((shown(name), words_of(text)))
    return found


def class_folders(root: Path) -> dict[str, Labelled]:
    """The texts of class folders by split.

    Raises:
        UserError: names the file that is wrong.
    """
    found = {}
    try:
        for split, place in folder_tree.splits(root).items():
            classes = folder_tree.classes(place).items()
            named = [(name, file) for name, folders in classes for folder in folders for file in text_files(folder)]
            found[split] = [(name, one_text(file)) for name, file in named]
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith("dataset.root") else f"dataset.root: {message}") from None
    return found


def text_files(folder: Path) -> Sequence[Path]:
    """The files ``.txt`` in a folder and below that are not hidden, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def one_text(file: Path, key: str = "dataset.root") -> list[str]:
    """The words of a file, which a key of the config names.

    Raises:
        UserError: it has none, or cannot be read.
    """
    found = words_of(decoded(file, key))
    if not found:
        raise UserError(f"{key}: {shown(file)}: a text without words; expected some")
    return found


def decoded(file: Path, key: str = "dataset.root") -> str:
    """What a file in UTF-8 says, which a key of the config names.

    Raises:
        UserError: it cannot be read, or is no UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{key}: {shown(file)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{key}: {shown(file)}: byte {error.start + 1:,} is no UTF-8; expected text in UTF-8") from None
