"""A dataset config's splits as loaders, with the sizes that the rest of the config is built on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.loader import Loader, Resized
from dlrun.dataset.source import Source, Splits, stratified, to_unit
from dlrun.errors import UserError, suggest

GIB = 2**30


@dataclass
class Data:
    """The three splits of a dataset as batches, and its class names."""

    train: Loader
    val: Loader
    test: Loader
    classes: list[str]
    regions: Tensor | None = None
    """Where each class is in the test images, bool (N, K, H, W), if that is known."""

    def evaluation(self, split: str, limit: int | None = None) -> Loader:
        """The split called train, val or test, in order and not augmented; only its first ``limit`` images.

        Raises:
            UserError: there are no images in it.
        """
        loader: Loader = getattr(self, split)
        loader = replace(loader, seed=None, augment=None, batch_size=self.test.batch_size)
        if limit is not None:
            loader = replace(loader, source=loader.source.subset(torch.arange(min(limit, len(loader.source)))))
        if not len(loader):
            raise UserError(f"split={split}: no images in it")
        return loader


def prepare(splits: Splits, config: Any, seed: int, device: torch.device, limit_batches: int | None) -> Data:
    """Split validation off, bring the images to the config's sizes, decide memory or stream, make the loaders.

    ``num_classes``, ``mean`` and ``std`` are filled in where the config leaves them null.

    Args:
        splits: what the dataset's source returned.
        config: the ``dataset`` section; changed in place.
        seed: of the validation split, the order of the training images and their augmentation.
        device: where the batches shall be.
        limit_batches: give only the first so many batches of every split.

    Raises:
        UserError: the config's ``num_classes`` differs from the data's, or a split is empty.
    """
    if config.resize_size < config.image_size:
        raise UserError(f"dataset.resize_size={config.resize_size}: smaller than image_size={config.image_size}")
    renumbered = None
    if config.classes is not None:
        splits, renumbered = choose(splits, [str(name) for name in config.classes])
    elif config.num_classes not in (None, len(splits.classes)):
        raise UserError(f"dataset.num_classes={config.num_classes}: the data has {len(splits.classes)} classes")
    config.num_classes = len(splits.classes)
    if config.per_class is not None:
        splits = replace(splits, train=few(splits.train, config.per_class, seed))
    train, val = splits.train, splits.val
    if val is None:
        rest, held_out = stratified(train.targets, config.val_fraction, seed)
        train, val = train.subset(rest), train.subset(held_out)
    sources = {
        name: Resized(source, config.channels, config.image_size, config.resize_size, renumbered)
        for name, source in (("train", train), ("val", val), ("test", splits.test))
    }
    empty = [name for name, source in sources.items() if name != "val" and not len(source)]
    if empty:
        raise UserError(f"dataset: no images in the split {empty[0]}")
    if config.normalize and (config.mean is None or config.std is None):
        config.mean, config.std = mean_and_std(sources["train"])

    images = sum(len(source) for source in sources.values())
    size = images * config.channels * config.image_size**2
    in_memory = size <= config.memory_budget * GIB

    def loader(name: str, batch_size: int, seed: int | None, augment: Augment | None) -> Loader:
        return Loader(
            source=sources[name],
            batch_size=batch_size,
            device=device,
            in_memory=in_memory,
            workers=config.workers,
            num_classes=config.num_classes,
            seed=seed,
            augment=augment,
            limit=limit_batches,
        )

    return Data(
        train=loader("train", config.batch_size, seed, Augment(**config.augment)),
        val=loader("val", config.eval_batch_size, None, None),
        test=loader("test", config.eval_batch_size, None, None),
        classes=splits.classes,
        regions=splits.regions,
    )


def choose(splits: Splits, classes: list[str]) -> tuple[Splits, Tensor]:
    """The images of some classes alone.

    Args:
        splits: of a dataset.
        classes: names of its classes.

    Returns:
        The splits, and the new number of every old class, int64 (K,): the place in ``classes``.

    Raises:
        UserError: there is no such class, or fewer than two are named.
    """
    for name in classes:
        if name not in splits.classes:
            raise UserError(f"dataset.classes={name}: no such class; {suggest(name, splits.classes)}")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise UserError(f"dataset.classes=[{','.join(classes)}]: expected two or more different classes")
    renumbered = torch.full((len(splits.classes),), -1)
    renumbered[[splits.classes.index(name) for name in classes]] = torch.arange(len(classes))

    def part(source: Source) -> Source:
        return source.subset(torch.nonzero(renumbered[source.targets] >= 0).flatten())

    val = None if splits.val is None else part(splits.val)
    return Splits(part(splits.train), part(splits.test), classes, val), renumbered


def few(source: Source, count: int, seed: int) -> Source:
    """So many images of every class, or all where a class has fewer, chosen by seed and in their order."""
    shuffled = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(source.targets[shuffled], stable=True)]
    sizes = source.targets.bincount()
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(source)) - first[source.targets[by_class]]
    return source.subset(by_class[rank < count].sort().values)


def mean_and_std(source: Source, sample: int = 1000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of pixels in [0,1], on evenly spaced images."""
    places = torch.linspace(0, len(source) - 1, min(sample, len(source))).long().tolist()
    pixels = to_unit(torch.stack([source[place] for place in places]))
    std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
    return [round(m, 4) for m in mean.tolist()], [max(round(s, 4), 1e-3) for s in std.tolist()]
