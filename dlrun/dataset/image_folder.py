"""One's own pictures: a folder for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dlrun import console
from dlrun.dataset.batch import Batch
from dlrun.dataset.image_file import SUFFIXES, check_header, read_image
from dlrun.dataset.source import Splits, stratified
from dlrun.errors import UserError

NAMED = 3  # of the files that are left out


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
        with _in_root():
            image = read_image(self.paths[index], self.channels, self.image_size)
        return {"image": image, "target": self.targets[index]}

    def subset(self, indices: Tensor) -> FileSource:
        """The files at these indices."""
        chosen = [self.paths[index] for index in indices.tolist()]
        return FileSource(chosen, self.targets[indices], self.image_size, self.channels)


def load(
    root: str,
    image_size: int,
    channels: int = 3,
    test_fraction: float = 0.2,
    seed: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
) -> Splits:
    """The images below ``root``: ``root/{train,val,test}/CLASS/*``, or ``root/CLASS/*``.

    Without a folder ``test``, ``test_fraction`` of the images is split off by ``seed``, class by class.

    Args:
        root: the folder.
        image_size: extent of the images that are made of the files.
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
        raise UserError(f"dataset.root={root}: no such folder; expected one folder of images for each class")
    top = folder / "train" if (folder / "train").is_dir() else folder
    classes = sorted(path.name for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class folders"
        raise UserError(f"dataset.root={root}: {found} in {top}; expected two or more folders of images")

    def files(folder: Path) -> FileSource:
        source = _files(folder, classes, image_size, channels)
        if on_error == "skip":
            return _readable(source)
        with ThreadPoolExecutor() as pool:
            list(pool.map(_check_header, source.paths))
        return source

    train = files(top)
    has_splits = top != folder
    if has_splits and (folder / "test").is_dir():
        test = files(folder / "test")
    else:
        rest, held_out = stratified(train.targets, test_fraction, seed)
        train, test = train.subset(rest), train.subset(held_out)
    val = files(folder / "val") if has_splits and (folder / "val").is_dir() else None
    return Splits(train, test, classes, val)


def _files(folder: Path, classes: list[str], image_size: int, channels: int) -> FileSource:
    unknown = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")} - set(classes)
    if unknown:
        raise UserError(f"dataset.root: {folder} has classes that training lacks: {', '.join(sorted(unknown))}")
    paths, targets = [], []
    for target, name in enumerate(classes):
        inside = (folder / name).rglob("*") if (folder / name).is_dir() else ()
        found = sorted(path for path in inside if path.suffix.lower() in SUFFIXES)
        paths += found
        targets += [target] * len(found)
    if not paths:
        raise UserError(f"dataset.root: no images in {folder}; expected files such as {classes[0]}/photo.jpg")
    return FileSource(paths, torch.tensor(targets), image_size, channels)


def _check_header(path: Path) -> None:
    with _in_root():
        check_header(path)


@contextmanager
def _in_root() -> Iterator[None]:
    """Say of a file that cannot be read where it comes from, and what to do."""
    try:
        yield
    except UserError as error:
        raise UserError(f"dataset.root: {error}; dataset.on_error=skip leaves such files out") from None


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
