"""From a source to batches on the training device.

Examples that fit the memory budget lie on the device as the source has them (pixels as bytes) and are taken by index;
larger sets stream through worker processes. Nothing but this file can tell the two apart. The order of an epoch, and
the augmentation of a batch, are functions of (seed, epoch) and (seed, epoch, batch): a position in the data is two
integers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dlrun import console, interrupt
from dlrun.dataset.augment import Augment
from dlrun.dataset.balance import Sampling, chances
from dlrun.dataset.batch import Batch
from dlrun.dataset.field import Field, images, read
from dlrun.dataset.fitted import in_memory
from dlrun.dataset.source import Source, TensorSource, labels, part
from dlrun.errors import RunError, UserError


@dataclass
class Loader:
    """The batches of one split.

    Args:
        source: where the examples come from.
        batch_size: examples in a batch; the last of an epoch may have fewer.
        device: where the batches shall be.
        in_memory: hold all examples on the device.
        workers: processes that decode examples where they are not in memory.
        num_classes: for the targets of mixed images.
        seed: of order and augmentation; None keeps the source's order and augments nothing.
        augment: what is done to the examples of a batch.
        limit: give only the first so many batches.
        sampling: draw the examples by these weights of their classes, with replacement; None takes each once an epoch.
        fields: what each named tensor is.
        numbers: of the examples in their split, int64 (N,), where this is a part of it.
        split_size: the number of examples in the split.
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
    fields: Mapping[str, Field] = field(default_factory=images)
    numbers: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    split_size: int | None = None
    sampling: Sampling = None

    def __post_init__(self) -> None:
        if self.on_device:
            self.source = in_memory(self.source, self.device)
        if self.split_size is None:
            self.numbers, self.split_size = torch.arange(len(self.source)), len(self.source)

    @property
    def on_device(self) -> bool:
        """Whether the examples lie on the device; there is nothing to move where there are none."""
        return self.in_memory and len(self.source) > 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        batches = math.ceil(len(self.source) / self.batch_size)
        return min(batches, self.limit or batches)

    @property
    def num_images(self) -> int:
        """The number of examples in an epoch."""
        return min(len(self.source), len(self) * self.batch_size)

    @property
    def counted(self) -> str:
        """The number of examples in words, with that of the split where this is a part of it."""
        whole = "" if self.num_images == self.split_size else f" of {self.split_size:,}"
        return f"{self.num_images:,}{whole} images"

    def part(self, count: int) -> Self:
        """The loader of so many of the examples, of every class in its proportion; see :func:`source.part`."""
        chosen = part(labels(self.source), len(self.source), count)
        source = self.source.subset(chosen.to(self.device) if self.on_device else chosen)
        return replace(self, source=source, numbers=self.numbers[chosen])

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on, as the model takes them."""
        return self.pictures(epoch, start)

    def pictures(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The same as the dataset has them, whatever the model takes."""
        for number, taken in enumerate(self._taken(self.order(epoch)[start:]), start):
            moved = {name: values.to(self.device, non_blocking=True) for name, values in taken.items()}
            batch = read(moved, self.fields)
            if self.augment is not None:
                rng = np.random.default_rng([self.seed or 0, epoch, number])
                batch = self.augment(batch, self.fields, self.num_classes, rng)
            yield batch

    def examples(self, indices: Tensor) -> Batch:
        """The examples at these places of the source's order as the network reads them, not augmented, on the CPU."""
        with ThreadPoolExecutor() as pool:  # they may have to be decoded
            items = list(pool.map(self.source.__getitem__, indices.tolist()))
        return read({name: torch.stack([item[name].cpu() for item in items]) for name in items[0]}, self.fields)

    def order(self, epoch: int) -> list[Tensor]:
        """The indices of each batch of an epoch."""
        count = len(self.source)
        if self.seed is None:
            order = torch.arange(count)
        else:
            rng = np.random.default_rng([self.seed, epoch])
            drawn = rng.permutation(count) if self.sampling is None else rng.choice(count, count, p=self._chances())
            order = torch.from_numpy(drawn)
        if self.in_memory:
            order = order.to(self.device)  # once an epoch, not once a batch
        return list(torch.split(order, self.batch_size)[: len(self)])

    def _chances(self) -> np.ndarray:
        return chances(labels(self.source), self.num_classes, self.sampling).numpy()

    def _taken(self, batches: list[Tensor]) -> Iterator[Batch]:
        """The examples of each batch as the source has them."""
        if self.in_memory and isinstance(self.source, TensorSource):
            tensors = self.source.tensors.items()
            for indices in batches:
                yield {name: values.index_select(0, indices) for name, values in tensors}
        else:
            failure = None
            try:
                yield from DataLoader(
                    cast(Any, self.source),
                    batch_sampler=[indices.tolist() for indices in batches],
                    num_workers=self.workers,
                    pin_memory=self.device.type == "cuda",
                    # Its default would draw from torch's global randomness, and a resumed epoch draws once more.
                    generator=torch.Generator(),
                    worker_init_fn=_begin_worker,
                )
            except Exception as error:
                failure = _out_of_worker(error, self.workers)
                if failure is None:
                    raise
                error.__traceback__ = None  # it would keep the workers alive, whose end then is one more error
            if failure is not None:
                raise failure


def _begin_worker(number: int) -> None:
    """What a worker process does first: signals and warnings are the business of its parent."""
    interrupt.ignore_in_worker(number)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # said when the headers were checked


def _out_of_worker(error: Exception, workers: int) -> Exception | None:
    """One line in the place of what a worker process raised, or of its death; None for any other error."""
    text = str(error)
    if "Original Traceback" not in text and not text.startswith("DataLoader worker"):
        return None
    reason = text.strip().splitlines()[-1].strip()
    if isinstance(error, UserError):
        return UserError(reason.partition("UserError: ")[2])
    console.note(text)
    key = f"dataset.workers={workers}"
    if "out of shared memory" in text or ("/torch_" in reason and "No space left" in reason):
        return RunError(
            f"{key}: /dev/shm is too small for the workers' batches ({reason}); dataset.workers=0 does without,"
            " or make it larger (docker run --shm-size=1g)"
        )
    return RunError(f"{key}: a worker process failed ({reason}); dataset.workers=0 shows where, and log.txt")
