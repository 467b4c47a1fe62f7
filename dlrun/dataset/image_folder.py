"""One's own pictures: a folder for each class, with or without folders train, val and test above them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dlrun.dataset.source import Splits, stratified
from dlrun.errors import UserError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}


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

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``: uint8, shape (channels, image_size, image_size).

        Raises:
            UserError: the file cannot be decoded.
        """
        try:
            with Image.open(self.paths[index]) as file:
                file.draft("RGB", (self.image_size, self.image_size))  # JPEG: decode no larger than needed
                image = ImageOps.exif_transpose(file)
                if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
                    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                image = image.convert("RGB" if self.channels == 3 else "L")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"dataset.root: {self.paths[index]}: not a readable image ({reason})") from None
        side = (self.image_size, self.image_size)
        pixels = torch.from_numpy(np.array(ImageOps.fit(image, side, Image.Resampling.BILINEAR)))
        return pixels.view(self.image_size, self.image_size, self.channels).permute(2, 0, 1)

    def subset(self, indices: Tensor) -> FileSource:
        """The files at these indices."""
        chosen = [self.paths[index] for index in indices.tolist()]
        return FileSource(chosen, self.targets[indices], self.image_size, self.channels)


def load(root: str, image_size: int, channels: int = 3, test_fraction: float = 0.2, seed: int = 0) -> Splits:
    """The images below ``root``: ``root/{train,val,test}/CLASS/*``, or ``root/CLASS/*``.

    Without a folder ``test``, ``test_fraction`` of the images is split off by ``seed``, class by class.

    Raises:
        UserError: no such folder, no images, fewer than two classes, a split with a class that training does not
            have, or a file that is no image.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"dataset.root={root}: no such folder; expected one folder of images for each class")
    top = folder / "train" if (folder / "train").is_dir() else folder
    classes = sorted(path.name for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        found = f"one class ({classes[0]})" if classes else "no class folders"
        raise UserError(f"dataset.root={root}: {found} in {top}; expected two or more folders of images")

    def split(name: str) -> FileSource:
        return _files(folder / name, classes, image_size, channels)

    train = _files(top, classes, image_size, channels)
    has_splits = top != folder
    if has_splits and (folder / "test").is_dir():
        test = split("test")
    else:
        rest, held_out = stratified(train.targets, test_fraction, seed)
        train, test = train.subset(rest), train.subset(held_out)
    val = split("val") if has_splits and (folder / "val").is_dir() else None
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
    with ThreadPoolExecutor() as pool:
        list(pool.map(_check_header, paths))
    return FileSource(paths, torch.tensor(targets), image_size, channels)


def _check_header(path: Path) -> None:
    """Open the file, without decoding it: most broken files show here, before any training."""
    try:
        with Image.open(path):
            pass
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"dataset.root: {path}: not a readable image ({error})") from None
