"""One's own files of any kind: a folder for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dlrun import console
from dlrun.dataset import folder_tree
from dlrun.dataset.source import stratified
from dlrun.errors import UserError
from dlrun.paths import shown

NAMED = 3  # of the files that are left out
SKIP = "; dataset.on_error=skip leaves such files out"


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Args:
        name: in a message, such as ``images``.
        example: the name of such a file.
        suffixes: by which they are known, in small letters.
    """

    name: str
    example: str
    suffixes: Collection[str]


@dataclass
class Files:
    """The files of a split, and the class of each, int64 (N,)."""

    paths: list[Path]
    targets: Tensor

    def subset(self, indices: Tensor) -> Files:
        """The files at these indices."""
        return Files([self.paths[index] for index in indices.tolist()], self.targets[indices])


def find(root: str, kind: Kind) -> tuple[list[str], dict[str, Files]]:
    """The classes and the files of each split below ``root``: ``root/{train,val,test}/CLASS/*``, or ``root/CLASS/*``.

    Which files and folders are taken, :mod:`dlrun.dataset.folder_tree` says.

    Raises:
        UserError: no such folder, no files of this kind, fewer than two classes, or a split with a class that training
            does not have.
    """
    folder = Path(root)
    if not folder.is_dir():
        what = "a file (an archive must be unpacked)" if folder.is_file() else "no such folder"
        raise UserError(f"dataset.root={shown(root)}: {what}; expected one folder of {kind.name} for each class")
    with in_root():
        places = folder_tree.splits(folder, kind.suffixes)
        classes = list(folder_tree.classes(places["train"]))
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class folders"
        top = shown(places["train"])
        raise UserError(f"dataset.root={shown(root)}: {found} in {top}; expected two or more folders of {kind.name}")
    return classes, {split: _files(place, classes, kind) for split, place in places.items()}


def tested(splits: dict[str, Files], fraction: float, seed: int) -> dict[str, Files]:
    """The splits with a test: where there is none, a fraction of the training files, split off by seed, by class."""
    if "test" in splits:
        return splits
    rest, held_out = stratified(splits["train"].targets, fraction, seed)
    return {**splits, "train": splits["train"].subset(rest), "test": splits["train"].subset(held_out)}


def readable(files: Files, check: Callable[[Path], object]) -> Files:
    """The files that a check does not refuse; says how many it does, and names the first.

    Args:
        files: of a split.
        check: raises a UserError for a file that cannot be read.
    """

    def fault(path: Path) -> str:
        try:
            check(path)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fault, files.paths))
    found = list(filter(None, faults))
    if found:
        named = "; ".join(found[:NAMED]) + (f"; and {len(found) - NAMED} more" if len(found) > NAMED else "")
        console.say(f"warning: dataset.root: {len(found)} of {len(faults)} files left out: {named}")
    return files.subset(torch.tensor([not fault for fault in faults]).nonzero().flatten())


@contextmanager
def in_root(remedy: str = "") -> Iterator[None]:
    """Say of what cannot be read where it comes from, and what to do."""
    try:
        yield
    except UserError as error:
        raise UserError(f"dataset.root: {error}{remedy}") from None


def _files(folder: Path, classes: list[str], kind: Kind) -> Files:
    """The files of a split."""
    with in_root():
        found = folder_tree.classes(folder)
    if unknown := found.keys() - set(classes):
        names = folder_tree.listed(sorted(unknown))
        raise UserError(f"dataset.root: {shown(folder)} has classes that training lacks: {names}")
    paths, targets = [], []
    with in_root():
        for target, name in enumerate(classes):
            inside = sorted(path for place in found.get(name, []) for path in folder_tree.files(place, kind.suffixes))
            paths += inside
            targets += [target] * len(inside)
    if not paths:
        expected = f"expected files such as {classes[0]}/{kind.example}"
        raise UserError(f"dataset.root: no {kind.name} in {shown(folder)}; {expected}")
    return Files(paths, torch.tensor(targets))
