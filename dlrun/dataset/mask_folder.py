"""One's own images, and for each a picture whose pixels say the class of the image's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from dlrun.dataset.batch import Batch
from dlrun.dataset.field import Image, Mask
from dlrun.dataset.folder_tree import image_files, listed
from dlrun.dataset.image_file import read_image
from dlrun.dataset.source import Splits, part
from dlrun.errors import UserError
from dlrun.paths import shown

IMAGES, MASKS = "images", "masks"


@dataclass
class MaskedFiles:
    """Pairs of an image file and its mask, read when they are asked for.

    Args:
        pairs: of each example.
        channels: of the images, 1 or 3.
    """

    pairs: list[tuple[Path, Path]]
    channels: int

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        """Pair ``index``: ``image``, uint8 (C, H, W), and ``mask``, uint8 (H, W)."""
        image, mask = self.pairs[index]
        return {"image": read_image(image, self.channels), "mask": read_mask(mask)}

    def subset(self, indices: Tensor) -> MaskedFiles:
        """The pairs at these indices."""
        return MaskedFiles([self.pairs[index] for index in indices.tolist()], self.channels)


def load(
    root: str,
    channels: int = 3,
    classes: list[str] | None = None,
    num_classes: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Splits:
    """The pairs ``root/images/NAME.*`` and ``root/masks/NAME.png``; a mask's pixels are numbers of classes, from 0.

    All pairs are looked at before anything trains.

    Args:
        root: the folder.
        channels: 1 or 3.
        classes: names of the classes; None numbers them.
        num_classes: how many there are; None takes those that the masks name.
        test_fraction: of the pairs, for the test.
        seed: of this split.

    Raises:
        UserError: a folder or a partner is missing, fewer than two pairs, a mask of another size than its image, or
            with a pixel that is no number of a class.
    """
    pairs = _pairs(Path(root))
    count = len(classes) if classes else num_classes
    largest = 0
    for image, mask in pairs:
        found = read_mask(mask)
        with PillowImage.open(image) as file:
            size = (file.height, file.width)
        if tuple(found.shape) != size:
            sizes = " and ".join(f"{width}x{height}" for height, width in (tuple(found.shape), size))
            raise UserError(f"dataset.root={shown(root)}: {_short(mask)} and its image are {sizes}; expected one size")
        largest = max(largest, int(found.max()))
        if count is not None and largest >= count:
            raise UserError(
                f"dataset.root={shown(root)}: {_short(mask)} has the class {largest}; expected 0 to {count - 1}"
            )
    names = classes or [str(number) for number in range(count or largest + 1)]
    if len(names) < 2:
        raise UserError(f"dataset.root={shown(root)}: all masks have the class 0 alone; expected two classes or more")
    source, total = MaskedFiles(pairs, channels), len(pairs)
    test = torch.zeros(total, dtype=torch.bool)
    test[part(None, total, min(max(round(test_fraction * total), 1), total - 1), seed)] = True
    train, tested = (source.subset(torch.nonzero(chosen).flatten()) for chosen in (~test, test))
    return Splits(train, tested, names, fields={"image": Image(), "mask": Mask()})


def read_mask(path: Path) -> Tensor:
    """The numbers in a picture of one channel, or of a palette, uint8 (H, W).

    Raises:
        UserError: it cannot be read, or has colours and no numbers.
    """
    try:
        with PillowImage.open(path) as file:
            if file.mode not in ("L", "P"):
                raise UserError(f"{shown(path)}: a mask of {file.mode}; expected one channel, or a palette")
            return torch.from_numpy(np.array(file))
    except OSError as error:
        reason = getattr(error, "strerror", None) or "damaged, or of another kind"
        raise UserError(f"{shown(path)}: not a readable mask ({reason})") from None


def _pairs(root: Path) -> list[tuple[Path, Path]]:
    """Images and their masks, by the names of the files without their endings."""
    for name in (IMAGES, MASKS):
        if not (root / name).is_dir():
            raise UserError(f"dataset.root={shown(root)}: no folder {name}; expected {IMAGES} and {MASKS} in it")
    images, masks = ({file.stem: file for file in image_files(root / name)} for name in (IMAGES, MASKS))
    for name, alone in ((IMAGES, masks.keys() - images.keys()), (MASKS, images.keys() - masks.keys())):
        if alone:
            names = listed(sorted(alone))
            raise UserError(f"dataset.root={shown(root)}: nothing in {name} for {names}; expected one of the same name")
    if len(images) < 3:
        raise UserError(f"dataset.root={shown(root)}: {len(images)} pairs; expected 3 or more")
    return [(images[name], masks[name]) for name in sorted(images)]


def _short(path: Path) -> str:
    return shown(Path(path.parent.name) / path.name)
