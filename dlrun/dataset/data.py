"""A dataset config's splits as loaders, with the sizes that the rest of the config is built on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from dlrun import console
from dlrun.config.frozen import updated
from dlrun.dataset import oddities
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import inputs
from dlrun.dataset.field import Field, Label, Sizes, images, read
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.folder_tree import listed
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import Splits, stratified
from dlrun.errors import UserError, suggest

GIB = 2**30
IMAGENET = 224
"""Pixels of its images, and of those of most files of weights."""
MOST = 12
"""Classes that a message lists."""


@dataclass
class Data:
    """The three splits of a dataset as batches, its class names, and what its tensors are."""

    train: Loader
    val: Loader
    test: Loader
    classes: list[str]
    fields: Mapping[str, Field] = field(default_factory=images)
    """The first is what the network reads."""
    regions: Tensor | None = None
    """Where each class is in the test images, bool (N, K, H, W), if that is known."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What only the data says, by key of the config section ``dataset``: ``num_classes``, and ``image_size``, ``mean``,
    ``std`` and ``shape`` where the section leaves them null."""
    own: frozenset[str] = frozenset()
    """The splits that the data has itself, and that no fraction of it is."""

    @property
    def files(self) -> dict[str, str]:
        """What a run keeps, so that its model reads the same another time: texts by the names of files."""
        return {name: text for field in self.fields.values() for name, text in field.files().items()}

    def evaluation(self, split: str, limit: int | None = None) -> Loader:
        """The split called train, val or test, in order and not augmented, or a part of it.

        Args:
            split: its name.
            limit: take so many examples, of every class in its proportion: the same ones for every verb.

        Raises:
            UserError: there are no images in it.
        """
        loader: Loader = getattr(self, split)
        loader = replace(loader, seed=None, augment=None, batch_size=self.test.batch_size)
        if limit is not None:
            loader = loader.part(limit)
        if not len(loader):
            raise UserError(f"split={split}: no images in it")
        return loader


def input_shape(config: Any) -> tuple[int, ...]:
    """The shape of one input of the network, by the ``dataset`` section: (C, H, W), or ``shape`` where it names one."""
    return tuple(config.get("shape") or (config.channels, config.image_size, config.image_size))


def reads_text(config: Any) -> bool:
    """Whether the network reads texts, by the ``dataset`` section: where images have captions, it is they that do."""
    return config.get("words") is not None and len(input_shape(config)) == 1


def input_type(config: Any) -> torch.dtype:
    """The type of what the network reads, by the ``dataset`` section: int64 for the words of a text, else float32."""
    return torch.int64 if reads_text(config) else torch.float32


def need_numbers(config: Any) -> None:
    """Refuse a config, the whole one, that attacks texts.

    Raises:
        UserError: it does.
    """
    if reads_text(config.dataset) and config.get("attack") is not None:
        raise UserError("attack: moves inputs a little, and the words of a text cannot be; expected images or points")


def prepare(
    splits: Splits,
    config: Any,
    seed: int,
    device: torch.device,
    limit_batches: int | None,
    known_classes: Sequence[str] | None = None,
) -> Data:
    """Split validation off, bring examples to the config's sizes, decide memory or stream, make the loaders.

    Args:
        splits: what the dataset's source returned.
        config: the ``dataset`` section; nothing is written into it.
        seed: of the validation split, the order of the training examples and their augmentation.
        device: where the batches shall be.
        limit_batches: give only so many batches of every split: of training data another part in every epoch, of the
            others the same part of every class.
        known_classes: those that a trained model tells apart, in its order: the data's classes are matched with them
            by name.

    Raises:
        UserError: the config contradicts the data, or a split is empty.
    """
    sources, fields, classes = select(splits, config, seed, known_classes)
    count = len(classes) or config.num_classes or numbers_to_predict(sources["train"])
    check_sizes(sources, config, None if known_classes else count)
    oddities.say_missing(sources, classes)
    if known_classes is None:  # the training of a model has said it
        oddities.say_copies(sources)
    augment = Augment(**config.augment)
    augment.check(fields, count)
    said = {"image_size": config.image_size if splits.image_size else None, "num_classes": count}
    in_memory = config.memory_budget > 0 and nbytes(sources.values()) <= config.memory_budget * GIB

    def loader(name: str, batch_size: int, seed: int | None, augment: Augment | None) -> Loader:
        made = Loader(
            source=sources[name],
            batch_size=batch_size,
            device=device,
            in_memory=in_memory,
            workers=config.workers,
            num_classes=count or 0,
            seed=seed,
            augment=augment,
            limit=limit_batches if name == "train" else None,
            fields=fields,
            sampling=config.get("sampling") if name == "train" else None,
        )
        return made if name == "train" or limit_batches is None else made.part(limit_batches * batch_size)

    return Data(
        train=loader("train", config.batch_size, seed, augment if augment.on else None),
        val=loader("val", config.eval_batch_size, None, None),
        test=loader("test", config.eval_batch_size, None, None),
        classes=classes,
        fields=fields,
        regions=splits.regions if classes == splits.classes else None,
        facts=measured(sources["train"], config) | {name: found for name, found in said.items() if found is not None},
        own=splits.own | ({"val"} if splits.val is not None else set()),
    )


def sized(config: Any, splits: Splits) -> Any:
    """The ``dataset`` section with the size that the source has chosen, where it names none.

    Raises:
        UserError: the source has chosen none.
    """
    if config.image_size is not None:
        return config
    if splits.image_size is None:
        raise UserError("dataset.image_size=null: dataset.source chooses none; expected dataset.image_size=N")
    return updated(config, {"image_size": splits.image_size, "resize_size": config.resize_size or splits.image_size})


def numbers_to_predict(train: Fitted) -> int | None:
    """How many numbers each example's target has; None where it has none, or a class."""
    target = train[0].get("target") if len(train) else None
    return None if target is None or target.ndim != 1 or not target.is_floating_point() else len(target)


def check_sizes(sources: Mapping[str, Fitted], config: Any, count: int | None) -> None:
    """Refuse a config that contradicts the data, whose number of classes is ``count``, and splits without examples."""
    if config.resize_size < config.image_size:
        raise UserError(f"dataset.resize_size={config.resize_size}: smaller than image_size={config.image_size}")
    if None not in (config.num_classes, count) and config.num_classes != count and config.classes is None:
        raise UserError(f"dataset.num_classes={config.num_classes}: the data has {count} classes")
    for name in [name for name, source in sources.items() if name != "val" and not len(source)]:
        raise UserError(f"dataset: no images in the split {name}")


def select(
    splits: Splits, config: Any, seed: int, known_classes: Sequence[str] | None = None
) -> tuple[dict[str, Fitted], dict[str, Field], list[str]]:
    """The examples of the three splits that ``classes``, ``per_class`` and ``val_fraction`` ask for.

    Of a trained model's classes the examples are taken that have one of their names.

    Returns:
        Them by split, the fields, and the class names.
    """
    fields, names = dict(splits.fields), splits.classes
    numbers = None
    chosen = None if config.classes is None else [str(name) for name in config.classes]
    if known_classes is not None and list(known_classes) != (chosen or splits.classes):
        names = list(known_classes)
        if "target" not in fields:
            raise no_match(splits.classes, names)
        numbers = matched(splits.classes, names, chosen)
    elif chosen is not None:
        names = chosen
        numbers = renumbered(splits.classes, names)
    if numbers is not None:
        fields["target"] = Label(numbers)
    shape = tuple(config.get("shape") or ())
    sizes = Sizes(config.channels, config.image_size, config.resize_size, shape[1:] if len(shape) == 3 else None)
    given = {"train": splits.train, "val": splits.val, "test": splits.test}
    sources = {name: Fitted.whole(split, fields, sizes) for name, split in given.items() if split is not None}
    if numbers is not None:
        for name, source in sources.items():
            targets = labels_of(source, f"classes=[{','.join(names)}]")
            sources[name] = source.subset(torch.nonzero(numbers[targets] >= 0).flatten())
    train = sources["train"]
    if config.per_class is not None:
        train = few(train, labels_of(train, f"per_class={config.per_class}"), config.per_class, seed)
    if "val" not in sources:
        strata = torch.zeros(len(train)) if train.labels is None else train.labels
        rest, held_out = stratified(strata, config.val_fraction, seed)
        train, sources["val"] = train.subset(rest), train.subset(held_out)
    sources["train"] = train
    return sources, fields, names


def labels_of(source: Fitted, key: str) -> Tensor:
    """The classes of all examples as the source numbers them, for a key that chooses by them.

    Raises:
        UserError: the source does not tell them.
    """
    if source.labels is None:
        raise UserError(f"dataset.{key}: the data has no targets to choose by; expected null")
    return source.labels.long()


def renumbered(classes: list[str], chosen: list[str]) -> Tensor:
    """The new number of every old class, int64 (K,): the place in ``chosen``, or -1.

    Raises:
        UserError: there is no such class, or fewer than two are named.
    """
    for name in chosen:
        if name not in classes:
            raise UserError(f"dataset.classes={name}: no such class; {suggest(name, classes)}")
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise UserError(f"dataset.classes=[{','.join(chosen)}]: expected two or more different classes")
    numbers = torch.full((len(classes),), -1)
    numbers[[classes.index(name) for name in chosen]] = torch.arange(len(chosen))
    return numbers


def matched(classes: list[str], names: list[str], chosen: list[str] | None) -> Tensor:
    """The number that a trained model has for every class of the data, int64 (K,), by name; -1 where it has none.

    Says which classes of the data are left out; those of the model without examples are said for every split.

    Args:
        classes: of the data.
        names: of the model.
        chosen: those of the data to take; None for all.

    Raises:
        UserError: no class of the data is one of the model's.
    """
    taken = classes if chosen is None else [name for name in classes if name in chosen]
    strange = [name for name in taken if name not in names]
    if len(strange) == len(taken):
        raise UserError(
            f"dataset: has the classes {listed(taken, MOST)}; the model knows others: {listed(names, MOST)}"
        )
    if strange:
        console.say(f"warning: dataset: left out, as the model does not know them: {listed(strange, MOST)}")
    return torch.tensor([names.index(name) if name in names and name in taken else -1 for name in classes])


def no_match(classes: list[str], names: list[str]) -> UserError:
    """That none of the data's classes is one that the model knows."""
    return UserError(f"dataset: has the classes {listed(classes, MOST)}; the model knows others: {listed(names, MOST)}")


def few(source: Fitted, targets: Tensor, count: int, seed: int) -> Fitted:
    """So many examples of every class, or all where a class has fewer, chosen by seed and in their order."""
    shuffled = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(targets[shuffled], stable=True)]
    sizes = targets.bincount()
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(source)) - first[targets[by_class]]
    return source.subset(by_class[rank < count].sort().values)


def measured(train: Fitted, config: Any) -> dict[str, Any]:
    """What the training examples say where the ``dataset`` section says nothing: ``shape``, ``mean``, ``std``.

    Raises:
        UserError: the inputs have another shape than the section says.
    """
    facts: dict[str, Any] = {}
    measures = config.normalize and None in (config.mean, config.std)
    is_picture = next(iter(train.fields.values())).is_picture
    if is_picture and not measures:
        return facts  # nothing to decode
    first = read({name: values.unsqueeze(0) for name, values in train[0].items()}, train.fields)
    shape = tuple(inputs(first).shape[1:])
    if not is_picture and shape != input_shape(config):
        if config.get("shape") is not None:
            raise UserError(f"dataset.shape={list(config.shape)}: an input of the data has {list(shape)}")
        facts["shape"] = list(shape)
    if config.channels is None:
        facts["channels"] = shape[0]
    if measures and inputs(first).is_floating_point():
        found = dict(zip(("mean", "std"), mean_and_std(train), strict=True))
        facts |= {name: values for name, values in found.items() if config[name] is None}
    return facts


def nbytes(sources: Iterable[Fitted]) -> int:
    """The bytes that all examples take, if each takes as many as the first."""
    first = next(source for source in sources if len(source))
    return sum(map(len, sources)) * sum(values.nbytes for values in first[0].values())


def mean_and_std(source: Fitted, sample: int = 1000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of the network's inputs, on evenly spaced examples."""
    name, field = next(iter(source.fields.items()))
    places = torch.linspace(0, len(source) - 1, min(sample, len(source))).long().tolist()
    values = field.read(torch.stack([source[place][name] for place in places]))
    std, mean = torch.std_mean(values, dim=[axis for axis in range(values.ndim) if axis != 1])
    return [round(m, 4) for m in mean.tolist()], [max(round(s, 4), 1e-3) for s in std.tolist()]
