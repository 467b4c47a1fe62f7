"""From what a source returns to the loaders of a run: splits, classes, sizes, and facts that only the data tells."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.data import Data, prepare
from dlrun.dataset.field import Field, Image, Label, Mask, Sizes, Vector
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import MapStyle, Splits, TensorSource, classes, labelled, labels
from dlrun.errors import UserError

OFF = dict.fromkeys(vars(Augment()), 0)
CONFIG = {
    "image_size": 4,
    "resize_size": 4,
    "channels": 1,
    "shape": None,
    "num_classes": None,
    "classes": None,
    "per_class": None,
    "mean": [0.5],
    "std": [0.5],
    "normalize": True,
    "batch_size": 7,
    "eval_batch_size": 20,
    "val_fraction": 0.2,
    "memory_budget": 1.0,
    "workers": 0,
    "augment": OFF,
}
NAMES = ["ant", "bee", "cat", "dog"]


def config(**changes: Any) -> DictConfig:
    made = OmegaConf.create({**CONFIG, **changes})
    OmegaConf.set_readonly(made, True)
    OmegaConf.set_struct(made, True)
    return made


def prepared(splits: Splits, seed: int = 0, **changes: Any) -> Data:
    return prepare(splits, config(**changes), seed, torch.device("cpu"), None)


def pixels(count: int) -> Tensor:
    """Image i is of grey level i."""
    return torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


def source(count: int = 100) -> TensorSource:
    """Image i is of class i modulo 4."""
    return labelled(pixels(count), torch.arange(count) % 4)


def splits(train: MapStyle | None = None, **more: Any) -> Splits:
    return Splits(source() if train is None else train, source(20), NAMES, **more)


def levels(loader: Loader) -> list[int]:
    """The grey levels of a split's images, in its order."""
    return [round(255 * float(image.mean())) for batch in loader.epoch() for image in inputs(batch)]


def targets(loader: Loader) -> list[int]:
    return [int(target) for batch in loader.epoch() for target in batch["target"]]


class Own:
    """A user's map-style dataset: items are plain images, and it gives no part of itself."""

    def __init__(self, count: int = 100) -> None:
        self.values, self.targets = pixels(count), (torch.arange(count) % 4).tolist()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Tensor:
        return self.values[index]


class Unlabelled:
    """A user's map-style dataset whose items are dicts; what they are is not known without them."""

    def __init__(self, count: int = 100) -> None:
        self.values = pixels(count)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Batch:
        return {"image": self.values[index]}


IMAGE: dict[str, Field] = {"image": Image()}


def test_nothing_is_written_into_the_config() -> None:
    given = config(mean=None, std=None)
    before = OmegaConf.to_yaml(given)
    prepare(splits(), given, 0, torch.device("cpu"), None)
    assert OmegaConf.to_yaml(given) == before


def test_the_facts_are_what_the_config_leaves_open() -> None:
    assert prepared(splits()).facts == {"num_classes": 4}
    facts = prepared(splits(), mean=None, std=None, val_fraction=0.0).facts
    values = pixels(100).double().numpy() / 255
    assert facts["mean"] == [pytest.approx(values.mean(), abs=1e-4)]
    assert facts["std"] == [pytest.approx(values.std(), abs=1e-3)]
    assert prepared(splits(), mean=None, std=None, normalize=False).facts == {"num_classes": 4}


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
@pytest.mark.parametrize("make", [source, Own])
def test_a_users_own_dataset_is_split_and_batched_like_one_of_tensors(make: Any, memory_budget: float) -> None:
    expected = prepared(splits(), seed=3)
    data = prepared(splits(make(100)), seed=3, memory_budget=memory_budget)
    for name in ("train", "val", "test"):
        loader, other = getattr(data, name), getattr(expected, name)
        assert levels(loader) == levels(other)
        assert targets(loader) == targets(other) == [level % 4 for level in levels(loader)]
        assert torch.equal(classes(loader.source), classes(other.source))
    assert sorted(levels(data.train) + levels(data.val)) == list(range(100))
    assert np.bincount(targets(data.val)).tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
def test_without_targets_validation_is_drawn_by_seed(memory_budget: float) -> None:
    given = Splits(Unlabelled(), Unlabelled(20), fields=IMAGE)
    data, again, other = (prepared(given, seed=seed, memory_budget=memory_budget) for seed in (1, 1, 2))
    assert list(next(data.train.epoch())) == ["image"]
    assert labels(data.train.source) is None
    assert sorted(levels(data.train) + levels(data.val)) == list(range(100))
    assert len(levels(data.val)) == 20
    assert levels(data.val) == levels(again.val) != levels(other.val)
    assert data.facts == {}


@pytest.mark.parametrize(
    ("changes", "key"), [({"per_class": 3}, "per_class=3"), ({"classes": ["ant", "bee"]}, "classes=[ant,bee]")]
)
def test_choosing_by_class_needs_targets(changes: dict[str, Any], key: str) -> None:
    given = Splits(Unlabelled(), Unlabelled(20), NAMES, fields=IMAGE)
    with pytest.raises(UserError) as caught:
        prepared(given, **changes)
    assert str(caught.value) == f"dataset.{key}: the data has no targets to choose by; expected null"


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
@pytest.mark.parametrize("make", [source, Own])
def test_chosen_classes_are_renumbered(make: Any, memory_budget: float) -> None:
    regions = torch.zeros(20, 4, 4, 4, dtype=torch.bool)
    given = splits(make(100), regions=regions)
    data = prepared(given, classes=["dog", "ant"], memory_budget=memory_budget, num_classes=2)
    assert data.classes == ["dog", "ant"]
    assert data.facts == {"num_classes": 2}
    assert data.regions is None
    for loader, count in ((data.train, 40), (data.val, 10), (data.test, 10)):
        assert targets(loader) == [{3: 0, 0: 1}[level % 4] for level in levels(loader)]
        assert len(targets(loader)) == count
        assert sorted(classes(loader.source).tolist()) == sorted(targets(loader))


class Counted(Label):
    """Counts the numbers that it is given."""

    seen = 0

    def fit(self, values: Tensor, sizes: Sizes) -> Tensor:
        Counted.seen += values.numel()
        return super().fit(values, sizes)


@pytest.mark.parametrize("make", [source, Own])
def test_chosen_classes_of_a_stream_are_renumbered_item_by_item(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlrun.dataset.data.Label", Counted)
    data = prepared(splits(make(256)), classes=["dog", "ant"], memory_budget=0.0, val_fraction=0.0)
    Counted.seen = 0
    assert len(targets(data.train)) == 128
    assert Counted.seen == 128


@pytest.mark.parametrize("make", [source, Own])
def test_so_many_of_each_class_are_taken(make: Any) -> None:
    data = prepared(splits(make(100)), per_class=5, val_fraction=0.25)
    assert np.bincount(targets(data.train) + targets(data.val)).tolist() == [5, 5, 5, 5]
    assert len(targets(data.val)) == 5
    assert len(targets(data.test)) == 20


def points(count: int = 30) -> TensorSource:
    return TensorSource({"point": torch.rand(count, 5), "target": torch.arange(count) % 4})


POINT: dict[str, Field] = {"point": Vector(), "target": Label()}


def test_the_shape_of_what_is_no_image_is_a_fact() -> None:
    given = Splits(points(), points(), NAMES, fields=POINT)
    facts = prepared(given, mean=None, std=None).facts
    assert facts["shape"] == [5]
    assert len(facts["mean"]) == len(facts["std"]) == 5
    assert "shape" not in prepared(given, shape=[5]).facts
    with pytest.raises(UserError, match=r"^dataset.shape=\[4\]: an input of the data has \[5\]$"):
        prepared(given, shape=[4])


def test_a_mean_that_is_given_stays_and_the_deviation_is_measured() -> None:
    given = Splits(points(), points(), NAMES, fields=POINT)
    both = prepared(given, mean=None, std=None).facts
    alone = prepared(given, mean=[0.5] * 5, std=None).facts
    assert "mean" not in alone
    assert alone["std"] == both["std"]
    assert "std" not in prepared(given, mean=None, std=[0.5] * 5).facts


def test_signals_have_a_mean_for_each_channel() -> None:
    values = torch.randn(50, 3, 16, generator=torch.Generator().manual_seed(0)) + torch.tensor([[0.0], [1], [2]])
    given = TensorSource({"signal": values, "target": torch.arange(50) % 4})
    fields: dict[str, Field] = {"signal": Vector(), "target": Label()}
    facts = prepared(Splits(given, given, NAMES, fields=fields), mean=None, std=None, val_fraction=0.0).facts
    assert facts["mean"] == pytest.approx(values.mean(dim=(0, 2)).tolist(), abs=1e-4)
    assert facts["std"] == pytest.approx(values.transpose(0, 1).flatten(1).std(dim=1).tolist(), abs=1e-4)
    assert facts["shape"] == [3, 16]


def test_tokens_have_no_mean() -> None:
    given = TensorSource({"tokens": torch.arange(40).view(10, 4), "target": torch.arange(10) % 4})
    fields: dict[str, Field] = {"tokens": Field(), "target": Label()}
    data = prepared(Splits(given, given, NAMES, fields=fields), mean=None, std=None)
    assert data.facts == {"num_classes": 4, "shape": [4]}
    assert next(data.test.epoch())["tokens"].dtype == torch.int64


def test_masks_come_with_their_images_and_no_classes_of_their_own() -> None:
    values = pixels(60)
    given = TensorSource({"image": values, "mask": values[:, 0] % 4})
    data = prepared(Splits(given, given, NAMES, fields={"image": Image(), "mask": Mask()}))
    batch = next(data.train.epoch())
    torch.testing.assert_close(batch["mask"], (batch["image"][:, 0] * 255).round().long() % 4)
    assert list(data.fields) == ["image", "mask"]


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        (splits(), {"num_classes": 3}, "dataset.num_classes=3: the data has 4 classes"),
        (splits(), {"classes": ["ant", "cow"]}, "dataset.classes=cow: no such class; "),
        (splits(), {"classes": ["ant"]}, "dataset.classes=[ant]: expected two or more different classes"),
        (splits(source(0)), {}, "dataset: no images in the split train"),
        (splits(), {"resize_size": 3}, "dataset.resize_size=3: smaller than image_size=4"),
        (splits(fields={**IMAGE, "mask": Mask()}), {}, "dataset.source: an item has no mask; expected image, mask, f"),
        (
            Splits(points(), points(), NAMES, fields=POINT),
            {"augment": {**OFF, "crop": 1}},
            "dataset.augment.crop=1: changes images, and the data has none (point, target); expected 0",
        ),
        (
            Splits(Unlabelled(), Unlabelled(), fields=IMAGE),
            {"augment": {**OFF, "mixup": 0.4}},
            "dataset.augment.mixup=0.4: mixes classes, and the data has none; expected 0",
        ),
    ],
)
@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
def test_what_does_not_go_together_is_refused(
    given: Splits, changes: dict[str, Any], message: str, memory_budget: float
) -> None:
    with pytest.raises(UserError) as caught:
        list(prepared(given, **changes, memory_budget=memory_budget).train.epoch())
    assert str(caught.value).startswith(message)


def test_an_item_that_is_no_tensor_is_refused() -> None:
    class Pairs(Own):
        def __getitem__(self, index: int) -> Any:
            return self.values[index], 0

    with pytest.raises(UserError, match=r"^dataset.source: an item is a tuple; expected a dict of tensors"):
        prepared(splits(Pairs()))


def test_another_number_of_targets_is_refused() -> None:
    own = Own()
    own.targets = own.targets[:-1]
    with pytest.raises(UserError, match=r"^dataset.source: 100 items and 99 targets"):
        prepared(splits(own))


@pytest.mark.parametrize(("budget", "held"), [(1601, True), (1599, False)])
def test_the_budget_counts_the_bytes_of_all_examples(budget: int, held: bool) -> None:
    # 100 examples to train and to validate and 20 to test, of 16 pixels and a class of 8 bytes.
    data = prepared(splits(), memory_budget=budget * 120 * 24 / 1600 / 2**30)
    assert data.train.in_memory is held
    assert isinstance(data.train.source, TensorSource) is held


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
def test_an_evaluation_has_so_many_of_every_class_in_order(memory_budget: float) -> None:
    data = prepared(splits(), seed=4, memory_budget=memory_budget, augment={**OFF, "flip": 0.5})
    loader = data.evaluation("train", 9)
    whole = levels(data.evaluation("train"))
    assert levels(loader) == sorted(levels(loader)) == [whole[number] for number in loader.numbers.tolist()]
    assert targets(loader) == [level % 4 for level in levels(loader)]
    assert sorted(Counter(targets(loader)).values()) == [2, 2, 2, 3]
    assert (loader.counted, data.evaluation("train").counted) == ("9 of 80 images", "80 images")
    assert levels(data.evaluation("train", 100)) == whole
    assert [len(inputs(batch)) for batch in data.evaluation("train").epoch()] == [20, 20, 20, 20]
    with pytest.raises(UserError, match=r"^split=val: no images in it$"):
        prepared(splits(), val_fraction=0.0).evaluation("val")
