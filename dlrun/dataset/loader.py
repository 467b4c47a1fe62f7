"""From a source to batches on the training device.

Images that fit the memory budget lie on the device as bytes and are taken by index; larger sets stream through
worker processes. Nothing but this file can tell the two apart. The order of an epoch, and the augmentation of a
batch, are functions of (seed, epoch) and (seed, epoch, batch): a position in the data is two integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import center_crop

from dlrun import interrupt
from dlrun.dataset.augment import Augment
from dlrun.dataset.source import Source, TensorSource, fit, to_unit
from dlrun.errors import UserError


class Batch(NamedTuple):
    """Images, float (B, C, H, W) in [0,1], and targets: int64 (B,), or probabilities, float (B, classes)."""

    images: Tensor
    targets: Tensor


@dataclass
class Loader:
    """The batches of one split.

    Args:
        source: where the images come from.
        batch_size: images in a batch; the last of an epoch may have fewer.
        device: where the batches shall be.
        in_memory: hold all images on the device.
        workers: processes that decode images where they are not in memory.
        num_classes: for the targets of mixed images.
        seed: of order and augmentation; None keeps the source's order and augments nothing.
        augment: what is done to the images of a batch.
        limit: give only the first so many batches.
    """

    source: Source
    batch_size: int
    device: torch.device
    in_memory: bool
    workers: int
    num_classes: int
    seed: int | None = None
    augment: Augment | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.in_memory and len(self.source):
            self.source = _in_memory(self.source, self.device)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        batches = math.ceil(len(self.source) / self.batch_size)
        return min(batches, self.limit or batches)

    @property
    def num_images(self) -> int:
        """The number of images in an epoch."""
        return min(len(self.source), len(self) * self.batch_size)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on, as the model takes them."""
        return self.pictures(epoch, start)

    def pictures(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The same as images, whatever the model takes."""
        for number, (images, targets) in enumerate(self._bytes(self._order(epoch)[start:]), start):
            images = to_unit(images.to(self.device, non_blocking=True))
            targets = targets.to(self.device, non_blocking=True)
            if self.augment is not None:
                rng = np.random.default_rng([self.seed or 0, epoch, number])
                images, targets = self.augment(images, targets, self.num_classes, rng)
            yield Batch(images, targets)

    def images(self, indices: Tensor) -> Tensor:
        """The images at these places of the source's order, as it holds them, on the CPU: (n, C, H, W)."""
        with ThreadPoolExecutor() as pool:  # they may have to be decoded
            return torch.stack(list(pool.map(lambda index: self.source[index].cpu(), indices.tolist())))

    def _order(self, epoch: int) -> list[Tensor]:
        """The indices of each batch."""
        count = len(self.source)
        if self.seed is None:
            order = torch.arange(count)
        else:
            order = torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(count))
        if self.in_memory:
            order = order.to(self.device)  # once an epoch, not once a batch
        return list(torch.split(order, self.batch_size)[: len(self)])

    def _bytes(self, batches: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.source, TensorSource) and self.in_memory:
            images, targets = self.source.images, self.source.targets
            for indices in batches:
                yield images.index_select(0, indices), targets.index_select(0, indices)
        else:
            try:
                yield from DataLoader(
                    _Items(self.source),
                    batch_sampler=[indices.tolist() for indices in batches],
                    num_workers=self.workers,
                    pin_memory=self.device.type == "cuda",
                    # Its default would draw from torch's global randomness, and a resumed epoch draws once more.
                    generator=torch.Generator(),
                    worker_init_fn=interrupt.ignore_in_worker,
                )
            except UserError as error:  # out of a worker it comes behind the worker's traceback
                raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None


class _Items(Dataset[tuple[Tensor, Tensor]]):
    """A source as pairs of image and target."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.source[index], self.source.targets[index]


@dataclass
class Resized:
    """A source with every image brought to one size and number of channels, when it is asked for.

    Args:
        source: the images.
        channels: 1 or 3.
        image_size: the side in pixels.
        resize_size: the side to resize to before the middle is cut out; None for image_size.
        renumbered: the new class for every class of the source, int64 (K,); None keeps them.
    """

    source: Source
    channels: int
    image_size: int
    resize_size: int | None = None
    renumbered: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """The targets of the source, renumbered."""
        targets = self.source.targets
        return targets if self.renumbered is None else self.renumbered[targets]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index`` in its new size."""
        return self.fit(self.source[index])

    def fit(self, images: Tensor) -> Tensor:
        """Bring images of the source, uint8 (..., C, H, W), to the new size."""
        fitted = fit(images, self.channels, self.resize_size or self.image_size)
        inside: Tensor = center_crop(fitted, [self.image_size] * 2)
        return inside

    def subset(self, indices: Tensor) -> Source:
        """The images at these indices."""
        return replace(self, source=self.source.subset(indices))


def _in_memory(source: Source, device: torch.device) -> TensorSource:
    """All images of a source, decoded by several threads, on the device."""
    if isinstance(source, Resized) and isinstance(source.source, TensorSource):
        images = source.fit(source.source.images)
    elif isinstance(source, TensorSource):
        images = source.images
    else:
        first = source[0]
        images = torch.empty((len(source), *first.shape), dtype=first.dtype)

        def decode(index: int) -> None:
            images[index] = source[index]

        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, range(len(source))))
    return TensorSource(images.to(device), source.targets.to(device))
