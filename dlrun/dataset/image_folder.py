"""One's own pictures: a folder for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dlrun import console
from dlrun.dataset import folder_tree
from dlrun.dataset.batch import Batch
from dlrun.dataset.image_file import check_header, read_image
from dlrun.dataset.image_side import moderate
from dlrun.dataset.source import Splits, stratified
from dlrun.errors import UserError
from dlrun.paths import shown

NAMED = 3  # of the files that are left out
SKIP = "; dataset.on_error=skip leaves such files out"


@dataclass
class FileSource:
    """Image files, decoded when asked for: a square of the shorter side's extent is cut out of the middle."""

    paths: list[Path]
    targets: Tensor
    image_size: int
    channels: int

    def __len__(self) -> int:
        """The number of files."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        """File ``index``: ``image``, uint8 (channels, image_size, image_size), and ``target``, int64 ().

        Raises:
            UserError: the file cannot be decoded.
        """
        with _in_root(SKIP):
            image = read_image(self.paths[index], self.channels, self.image_size)
        return {"image": image, "target": self.targets[index]}

    def subset(self, indices: Tensor) -> FileSource:
        """The files at these indices."""
        chosen = [self.paths[index] for index in indices.tolist()]
        return FileSource(chosen, self.targets[indices], self.image_size, self.channels)


def load(
    root: str,
    image_size: int | None,
    channels: int = 3,
    test_fraction: float = 0.2,
    seed: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """The images below ``root``: ``root/{train,val,test}/CLASS/*``, or ``root/CLASS/*``.

    Without a folder ``test``, ``test_fraction`` of the images is split off by ``seed``, class by class. Which files and
    folders are taken, :mod:`dlrun.dataset.folder_tree` says.

    Args:
        root: the folder.
        image_size: extent of the images that are made of the files; None chooses a moderate one by the files.
        channels: 1 or 3.
        test_fraction: of the images, for the test.
        seed: of this split.
        on_error: ``raise`` looks at the header of every file now, and at its pixels when they are asked for. ``skip``
            decodes every file once now and leaves out those that fail, so that the splits are the same in every
            run and no file fails later.

    Raises:
        UserError: no such folder, no images, fewer than two classes, a split with a class that training does not
            have, or a file that is no readable image.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"dataset.root={shown(root)}: no such folder; expected one folder of images for each class")
    with _in_root():
        places = folder_tree.splits(folder)
        classes = list(folder_tree.classes(places["train"]))
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class folders"
        top = shown(places["train"])
        raise UserError(f"dataset.root={shown(root)}: {found} in {top}; expected two or more folders of images")
    sources = {split: _files(place, classes, image_size or 0, channels) for split, place in places.items()}
    if image_size is None:
        image_size = moderate(sources["train"].paths)
        sources = {split: replace(source, image_size=image_size) for split, source in sources.items()}
    for split, source in sources.items():
        if on_error == "skip":
            sources[split] = _readable(source)
        else:
            with ThreadPoolExecutor() as pool:
                list(pool.map(_check_header, source.paths))
    if "test" not in sources:
        rest, held_out = stratified(sources["train"].targets, test_fraction, seed)
        sources["test"] = sources["train"].subset(held_out)
        sources["train"] = sources["train"].subset(rest)
    return Splits(sources["train"], sources["test"], classes, sources.get("val"), image_size=image_size)


def _files(folder: Path, classes: list[str], image_size: int, channels: int) -> FileSource:
    """The files of a split."""
    with _in_root():
        found = folder_tree.classes(folder)
    if unknown := found.keys() - set(classes):
        names = folder_tree.listed(sorted(unknown))
        raise UserError(f"dataset.root: {shown(folder)} has classes that training lacks: {names}")
    paths, targets = [], []
    with _in_root():
        for target, name in enumerate(classes):
            inside = sorted(path for place in found.get(name, []) for path in folder_tree.image_files(place))
            paths += inside
            targets += [target] * len(inside)
    if not paths:
        raise UserError(f"dataset.root: no images in {shown(folder)}; expected files such as {classes[0]}/photo.jpg")
    return FileSource(paths, torch.tensor(targets), image_size, channels)


def _check_header(path: Path) -> None:
    with _in_root(SKIP):
        check_header(path)


@contextmanager
def _in_root(remedy: str = "") -> Iterator[None]:
    """Say of what cannot be read where it comes from, and what to do."""
    try:
        yield
    except UserError as error:
        raise UserError(f"dataset.root: {error}{remedy}") from None


def _readable(source: FileSource) -> FileSource:
    """The source without the files that cannot be decoded; says how many they are, and names the first."""

    def fault(path: Path) -> str:
        try:
            read_image(path, source.channels, source.image_size)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fault, source.paths))
    found = list(filter(None, faults))
    if found:
        named = "; ".join(found[:NAMED]) + (f"; and {len(found) - NAMED} more" if len(found) > NAMED else "")
        console.say(f"warning: dataset.root: {len(found)} of {len(faults)} files left out: {named}")
    return source.subset(torch.tensor([not fault for fault in faults]).nonzero().flatten())
