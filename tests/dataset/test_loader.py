from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch
from dlrun.dataset.field import Sizes, images
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.image_folder import FileSource
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import MapStyle, TensorSource, labelled

COUNT = 23
AUGMENT = Augment(crop=2, flip=0.5, rotate=20, erase=0.5, mixup=0.3)


def source() -> TensorSource:
    made = torch.randint(0, 256, (COUNT, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return labelled(made, torch.arange(COUNT))


def pixels() -> Tensor:
    return source().tensors["image"]


def same() -> TensorSource:
    """One image, often."""
    return labelled(pixels()[:1].expand(COUNT, -1, -1, -1), torch.zeros(COUNT, dtype=torch.int64))


def fitted(whole: MapStyle, channels: int = 1) -> Fitted:
    return Fitted.whole(whole, images(), Sizes(channels, image_size=8))


def loader(**changes: Any) -> Loader:
    """Batches of 5 of 23 images, image i of class i, in memory and shuffled."""
    plain = Loader(source(), 5, torch.device("cpu"), in_memory=True, workers=0, num_classes=COUNT, seed=3)
    return replace(plain, **changes)


def order(batches: list[Batch]) -> list[int]:
    return [int(target) for batch in batches for target in batch["target"]]


def assert_equal(batches: list[Batch], expected: list[Batch]) -> None:
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert list(batch) == list(other) == ["image", "target"]
        assert torch.equal(batch["image"], other["image"])
        assert torch.equal(batch["target"], other["target"])


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_and_stream_give_identical_batches(workers: int) -> None:
    memory = loader(source=fitted(source()), augment=AUGMENT)
    stream = loader(source=fitted(source()), augment=AUGMENT, in_memory=False, workers=workers)
    assert_equal(list(stream.epoch(4)), list(memory.epoch(4)))


def test_images_are_the_sources_bytes_over_255() -> None:
    for batch in loader().epoch():
        torch.testing.assert_close(batch["image"], pixels()[batch["target"]].float() / 255)


def test_resized_images_have_their_channels_and_size() -> None:
    batch = next(loader(source=fitted(source())).epoch())
    assert batch["image"].shape == (5, 1, 8, 8)


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_epoch_is_a_permutation(in_memory: bool) -> None:
    places = order(list(loader(in_memory=in_memory).epoch()))
    assert sorted(places) == list(range(COUNT))
    assert places != list(range(COUNT))


def test_another_epoch_has_another_order() -> None:
    assert order(list(loader().epoch(0))) != order(list(loader().epoch(1)))


def test_another_seed_has_another_order() -> None:
    assert order(list(loader(seed=3).epoch())) != order(list(loader(seed=4).epoch()))


@pytest.mark.parametrize("changes", [{"seed": 4}, {"epoch": 1}])
def test_another_seed_or_epoch_augments_otherwise(changes: dict[str, int]) -> None:

    def first(seed: int = 3, epoch: int = 0) -> Tensor:
        return next(loader(source=same(), seed=seed, augment=Augment(rotate=20)).epoch(epoch))["image"]

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(**changes))


def test_batches_of_an_epoch_are_augmented_each_in_its_own_way() -> None:
    first, second, *_ = loader(source=same(), augment=Augment(rotate=20)).epoch()
    assert not torch.equal(first["image"], second["image"])


def test_without_a_seed_the_sources_order_stays() -> None:
    assert order(list(loader(seed=None).epoch(5))) == list(range(COUNT))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_an_epoch_from_a_batch_on_is_the_tail_of_the_whole(start: int, in_memory: bool) -> None:
    whole = loader(augment=AUGMENT, in_memory=in_memory)
    assert_equal(list(whole.epoch(2, start=start)), list(whole.epoch(2))[start:])


def test_the_last_batch_has_what_is_left() -> None:
    assert [len(batch["image"]) for batch in loader().epoch()] == [5, 5, 5, 5, 3]
    assert len(loader()) == 5


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_limit_gives_the_first_batches(in_memory: bool) -> None:
    limited = loader(limit=2, in_memory=in_memory)
    assert_equal(list(limited.epoch(1)), list(loader().epoch(1))[:2])
    assert (len(limited), limited.num_images) == (2, 10)


def test_a_limit_beyond_the_end_changes_nothing() -> None:
    assert (len(loader(limit=99)), loader(limit=99).num_images) == (5, COUNT)


@pytest.mark.parametrize("in_memory", [True, False])
def test_examples_by_index_are_in_the_sources_order_and_the_networks_range(in_memory: bool) -> None:
    batch = loader(in_memory=in_memory, augment=AUGMENT).examples(torch.tensor([7, 0, 22]))
    assert batch["image"].dtype == torch.float32
    assert torch.equal(batch["image"], pixels()[[7, 0, 22]].float() / 255)
    assert batch["target"].tolist() == [7, 0, 22]


def test_mixed_batches_have_probabilities_for_targets() -> None:
    batch = next(loader(augment=Augment(mixup=1.0)).epoch())
    assert batch["target"].shape == (5, COUNT)
    np.testing.assert_allclose(batch["target"].sum(dim=1), np.ones(5), rtol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_empty_split_has_no_batches(in_memory: bool) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    empty = loader(source=source().subset(nothing), in_memory=in_memory)
    assert len(empty) == 0
    assert list(empty.epoch()) == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_empty_split_of_files_has_no_batches(in_memory: bool) -> None:
    files = FileSource([], torch.zeros(0, dtype=torch.int64), image_size=8, channels=3)
    empty = loader(source=fitted(files, channels=3), in_memory=in_memory)
    assert list(empty.epoch()) == []
