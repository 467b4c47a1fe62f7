"""A source: examples as named tensors, in memory or read from disk one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch, size
from dlrun.dataset.field import Field, images
from dlrun.errors import UserError


class MapStyle(Protocol):
    """What a split of a dataset may be: any map-style dataset of one's own is one.

    An item is a dict of tensors by the names of ``Splits.fields``; or, where there is an attribute ``targets``, int64
    (N,), the input alone. With ``targets``, validation and ``dataset.per_class`` are taken class by class.
    """

    def __len__(self) -> int:
        """The number of examples, N."""

    def __getitem__(self, index: int, /) -> Batch | Tensor:
        """Example ``index``, without a leading dimension."""


class Source(Protocol):
    """Examples as dicts of tensors, of which a part can be taken."""

    def __len__(self) -> int:
        """The number of examples, N."""

    def __getitem__(self, index: int, /) -> Batch:
        """Example ``index``, without a leading dimension."""

    def subset(self, indices: Tensor) -> Source:
        """The source of the examples at these indices, in their order."""


@dataclass
class TensorSource:
    """Examples that are in memory already.

    Args:
        tensors: by name, each with the leading dimension N.
    """

    tensors: Batch

    @property
    def targets(self) -> Tensor:
        """The entry ``target``; where there is none, there is no such attribute."""
        if "target" not in self.tensors:
            raise AttributeError("targets")
        return self.tensors["target"]

    def __len__(self) -> int:
        """The number of examples."""
        return size(self.tensors)

    def __getitem__(self, index: int) -> Batch:
        """Example ``index``."""
        return {name: values[index] for name, values in self.tensors.items()}

    def subset(self, indices: Tensor) -> TensorSource:
        """The examples at these indices."""
        return TensorSource({name: values[indices] for name, values in self.tensors.items()})


@dataclass
class Splits:
    """What a dataset's ``source`` returns; ``val=None`` lets dlrun split it off ``train``."""

    train: MapStyle
    test: MapStyle
    classes: list[str] = field(default_factory=list)
    val: MapStyle | None = None
    regions: Tensor | None = None
    """Where each class is in the test images, bool (N, K, H, W), if that is known: explanations are held against it."""
    fields: dict[str, Field] = field(default_factory=images)
    """What each named tensor is; the first is what the network reads."""
    image_size: int | None = None
    """Side of the images in pixels, where the source has chosen it."""
    own: frozenset[str] = frozenset()
    """The splits that a folder has itself, where a source can also split them off."""


def labelled(images: Tensor, targets: Tensor) -> TensorSource:
    """Images, uint8 (N, C, H, W), or float in [0,1], and their classes, int64 (N,)."""
    return TensorSource({"image": images, "target": targets})


def from_arrays(images: Any, targets: Sequence[int] | Any) -> TensorSource:
    """A source of images that a library holds as an array: uint8, (N, H, W) or (N, H, W, C)."""
    data = torch.as_tensor(images)
    data = data.unsqueeze(1) if data.ndim == 3 else data.permute(0, 3, 1, 2)
    return labelled(data.contiguous(), torch.as_tensor(targets, dtype=torch.int64))


def labels(source: object) -> Tensor | None:
    """The classes of all examples, int64 (N,), where the source tells them without giving the examples."""
    found = getattr(source, "targets", None)
    return None if found is None else torch.as_tensor(found)


def classes(source: object) -> Tensor:
    """The classes of all examples, int64 (N,).

    Raises:
        UserError: the dataset has none.
    """
    found = labels(source)
    if found is None:
        raise UserError("dataset.source: has no attribute targets; expected the class of every example")
    return found


def part(strata: Tensor | None, size: int, count: int, seed: int = 0) -> Tensor:
    """Indices of ``count`` of ``size`` examples, chosen by seed, of every class in its proportion; ascending.

    Args:
        strata: the class of each example, int64 (size,); None, or several for each, chooses without regard to them.
        size: the number of examples.
        count: how many to take; all where there are no more.
        seed: the same one gives the same examples.
    """
    if strata is None or strata.ndim > 1:
        strata = torch.zeros(size)
    count = min(count, size)
    shuffled = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(strata.cpu()[shuffled], stable=True)]
    # Evenly spaced places in the class-sorted order meet every class in its proportion.
    places = (2 * torch.arange(count) + 1) * size // max(2 * count, 1)
    return by_class[places].sort().values


def stratified(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of two disjoint parts of the data, the second with ``fraction`` of it and of every class.

    An example of every class stays in the first part, which trains. The same seed gives the same parts. Each part is in
    ascending order.
    """
    if targets.ndim > 1:  # several for each example
        targets = torch.zeros(len(targets))
    second = torch.zeros(len(targets), dtype=torch.bool)
    second[part(targets, len(targets), round(fraction * len(targets)), seed)] = True
    shuffled = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    for name in set(targets.tolist()) - set(targets[~second].tolist()):
        second[shuffled[targets[shuffled] == name][0]] = False
    return torch.nonzero(~second).flatten(), torch.nonzero(second).flatten()
