from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch, inputs, size
from dlrun.dataset.field import Field, Image, Label, Mask, Sizes, images
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.image_folder import FileSource
from dlrun.dataset.loader import Loader, _out_of_worker
from dlrun.dataset.source import MapStyle, TensorSource, labelled
from dlrun.errors import RunError

COUNT = 23
AUGMENT = Augment(crop=2, flip=0.5, rotate=20, erase=0.5, mixup=0.3)


def source() -> TensorSource:
    values = torch.randint(0, 256, (COUNT, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return labelled(values, torch.arange(COUNT))


def resized(given: MapStyle | None = None) -> Fitted:
    """Grey images of 8 x 8 pixels."""
    return Fitted.whole(source() if given is None else given, images(), Sizes(channels=1, image_size=8))


def pixels() -> Tensor:
    return source().tensors["image"]


def loader(**changes: Any) -> Loader:
    """Batches of 5 of 23 images, image i of class i, in memory and shuffled."""
    plain = Loader(source(), 5, torch.device("cpu"), in_memory=True, workers=0, num_classes=COUNT, seed=3)
    return replace(plain, **changes)


def order(batches: list[Batch]) -> list[int]:
    return [int(target) for batch in batches for target in batch["target"]]


def assert_equal(batches: list[Batch], expected: list[Batch]) -> None:
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert list(batch) == list(other)
        for name, values in batch.items():
            assert torch.equal(values, other[name])


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_and_stream_give_identical_batches(workers: int) -> None:
    memory = loader(source=resized(), augment=AUGMENT)
    stream = loader(source=resized(), augment=AUGMENT, in_memory=False, workers=workers)
    assert_equal(list(stream.epoch(4)), list(memory.epoch(4)))


def test_images_are_the_sources_bytes_over_255() -> None:
    for batch in loader().epoch():
        assert list(batch) == ["image", "target"]
        torch.testing.assert_close(batch["image"], pixels()[batch["target"]].float() / 255)


def test_resized_images_have_their_channels_and_size() -> None:
    batch = next(loader(source=resized()).epoch())
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
    same = labelled(pixels()[:1].expand(COUNT, -1, -1, -1), torch.zeros(COUNT, dtype=torch.int64))

    def first(seed: int = 3, epoch: int = 0) -> Tensor:
        return next(loader(source=same, seed=seed, augment=Augment(rotate=20)).epoch(epoch))["image"]

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(**changes))


def test_batches_of_an_epoch_are_augmented_each_in_its_own_way() -> None:
    same = labelled(pixels()[:1].expand(COUNT, -1, -1, -1), torch.zeros(COUNT, dtype=torch.int64))
    first, second, *_ = loader(source=same, augment=Augment(rotate=20)).epoch()
    assert not torch.equal(inputs(first), inputs(second))


def test_without_a_seed_the_sources_order_stays() -> None:
    assert order(list(loader(seed=None).epoch(5))) == list(range(COUNT))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_an_epoch_from_a_batch_on_is_the_tail_of_the_whole(start: int, in_memory: bool) -> None:
    whole = loader(augment=AUGMENT, in_memory=in_memory)
    assert_equal(list(whole.epoch(2, start=start)), list(whole.epoch(2))[start:])


def test_the_last_batch_has_what_is_left() -> None:
    assert [size(batch) for batch in loader().epoch()] == [5, 5, 5, 5, 3]
    assert len(loader()) == 5


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_limit_gives_the_first_batches(in_memory: bool) -> None:
    limited = loader(limit=2, in_memory=in_memory)
    assert_equal(list(limited.epoch(1)), list(loader().epoch(1))[:2])
    assert (len(limited), limited.num_images) == (2, 10)


def test_a_limit_beyond_the_end_changes_nothing() -> None:
    assert (len(loader(limit=99)), loader(limit=99).num_images) == (5, COUNT)


@pytest.mark.parametrize("in_memory", [True, False])
def test_examples_by_index_are_what_the_network_reads_in_the_sources_order(in_memory: bool) -> None:
    examples = loader(in_memory=in_memory, augment=AUGMENT).examples(torch.tensor([7, 0, 22]))
    assert list(examples) == ["image", "target"]
    assert torch.equal(examples["image"], pixels()[[7, 0, 22]] / 255)
    assert examples["target"].tolist() == [7, 0, 22]


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
    empty = loader(source=resized(files), in_memory=in_memory)
    assert list(empty.epoch()) == []


def test_a_part_of_an_empty_split_is_asked_for_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    nothing = source().subset(torch.zeros(0, dtype=torch.int64))

    def subset(self: TensorSource, indices: Tensor) -> TensorSource:
        asked.append(indices.device.type)
        return self

    monkeypatch.setattr(TensorSource, "subset", subset)
    assert len(loader(source=nothing, device=torch.device("meta")).part(5)) == 0
    assert asked == ["cpu"]  # indices on a GPU are refused by values that are not there


class Broken(TensorSource):
    """A source that fails, and says so in several lines."""

    def __getitem__(self, index: int) -> Batch:
        raise KeyError("no such\nthing")


@pytest.mark.parametrize(("workers", "kind"), [(0, KeyError), (1, RunError)])
def test_a_failure_in_a_worker_is_one_line(workers: int, kind: type[Exception]) -> None:
    broken = loader(source=Broken(source().tensors), in_memory=False, workers=workers)
    with pytest.raises(kind) as caught:
        list(broken.epoch())
    if workers:
        where = "dataset.workers=0 shows where, and log.txt"
        expected = f"dataset.workers=1: a worker process failed (KeyError: 'no such\\nthing'); {where}"
        assert str(caught.value) == expected


def test_shared_memory_that_is_too_small_is_named_with_the_remedy() -> None:
    reason = "RuntimeError: unable to allocate shared memory(shm) for file </torch_9_1_0>: No space left on device (28)"
    whole = RuntimeError(
        f"Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback ...\n  File\n{reason}\n"
    )
    killed = RuntimeError(
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of"
        " shared memory. Please try to raise your shared memory limit."
    )
    for error in (whole, killed):
        found = _out_of_worker(error, 2)
        assert isinstance(found, RunError)
        assert str(found).startswith("dataset.workers=2: /dev/shm is too small for the workers' batches (")
        assert "; dataset.workers=0 does without, or" in str(found)
        assert "Traceback" not in str(found)
    assert _out_of_worker(RuntimeError("CUDA out of memory"), 2) is None


FIELDS: dict[str, Field] = {"image": Image(), "mask": Mask(), "target": Label()}


class Pictures:
    """A map-style dataset of pictures with masks; an entry that no field names is left out."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Batch:
        image = pixels()[index]
        return {"extra": torch.zeros(3), "mask": image[0] // 64, "target": torch.tensor(index), "image": image}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_and_its_mask_are_the_same_from_memory_and_stream(workers: int) -> None:
    fitted = Fitted.whole(Pictures(), FIELDS, Sizes(3, 8))
    geometric = Augment(crop=2, flip=0.5, rotate=20, erase=0.5)
    memory, stream = (
        loader(source=fitted, fields=FIELDS, augment=geometric, in_memory=held, workers=workers)
        for held in (True, False)
    )
    batches = list(memory.epoch(1))
    assert_equal(list(stream.epoch(1)), batches)
    assert list(batches[0]) == ["image", "mask", "target"]
    assert batches[0]["mask"].shape == (5, 8, 8)
    assert batches[0]["mask"].dtype == torch.int64
