"""One's own pictures: a folder for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from dlrun.dataset import class_folders
from dlrun.dataset.batch import Batch
from dlrun.dataset.image_file import SUFFIXES, check_channels, check_header, read_image
from dlrun.dataset.image_side import moderate
from dlrun.dataset.source import Splits

KIND = class_folders.Kind("images", "photo.jpg", SUFFIXES)


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
        with class_folders.in_root(class_folders.SKIP):
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
    check_channels(channels)
    classes, found = class_folders.find(root, KIND)
    size = moderate(found["train"].paths) if image_size is None else image_size
    for split, files in found.items():
        if on_error == "skip":
            found[split] = class_folders.readable(files, partial(read_image, channels=channels, image_size=size))
        else:
            with ThreadPoolExecutor() as pool:
                list(pool.map(_check_header, files.paths))
    own = frozenset(found)
    found = class_folders.tested(found, test_fraction, seed)
    sources = {split: FileSource(files.paths, files.targets, size, channels) for split, files in found.items()}
    return Splits(sources["train"], sources["test"], classes, sources.get("val"), image_size=size, own=own)


def _check_header(path: Path) -> None:
    with class_folders.in_root(class_folders.SKIP):
        check_header(path)
