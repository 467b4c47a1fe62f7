"""Fields: what stands beside the image moves with it, and sources of one's own are read as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from dlrun import paths
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.data import Data, prepare
from dlrun.dataset.field import Field, Image, Label, Mask, Sizes, Vector
from dlrun.dataset.source import Splits, TensorSource, labelled
from dlrun.errors import UserError
from tests.conftest import Dlrun, only_run, result

COUNT, SIDE = 48, 15
FIELDS: dict[str, Field] = {"image": Image(), "mask": Mask(), "target": Label()}


def dots(margin: int = 3) -> Batch:
    """Black images with one white pixel each, which is also the one pixel of class 7 in the mask."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(margin, SIDE - margin, (COUNT, 2), generator=generator)
    mask = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.int64)
    mask[torch.arange(COUNT), places[:, 0], places[:, 1]] = 7
    return {"image": (mask > 0).float().unsqueeze(1), "mask": mask, "target": torch.arange(COUNT) % 10}


def augmented(batch: Batch, seed: int = 0, **options: Any) -> Batch:
    return Augment(**options)(batch, FIELDS, 10, np.random.default_rng(seed))


@pytest.mark.parametrize("options", [{"flip": 0.5}, {"crop": 3}, {"flip": 0.5, "crop": 3}])
def test_a_mask_follows_its_pixel_under_flips_and_crops_exactly(options: dict[str, Any]) -> None:
    before, after = dots(), augmented(dots(), **options)
    assert torch.equal(after["mask"] == 7, after["image"][:, 0] == 1)
    assert after["mask"].dtype == torch.int64
    assert int((after["mask"] == 7).sum()) == COUNT  # the margin keeps all in the picture
    moved = (after["mask"] != before["mask"]).flatten(1).any(dim=1)
    assert 10 < int(moved.sum()) <= COUNT
    assert torch.equal(after["target"], before["target"])


def test_a_mask_follows_its_pixel_under_rotation() -> None:
    before, after = dots(4), augmented(dots(4), rotate=40.0, translate=0.1)
    place = torch.arange(float(SIDE))
    found = 0
    for image, mask, old in zip(after["image"][:, 0], after["mask"], before["mask"], strict=True):
        assert set(mask.flatten().tolist()) <= {0, 7}
        if not mask.any():  # between four pixels, the nearest of each may be another
            continue
        centre = torch.stack([image.sum(dim=1) @ place, image.sum(dim=0) @ place]) / image.sum()
        assert (torch.nonzero(mask).float() - centre).norm(dim=1).max() < 1.0
        found += not torch.equal(mask, old)
    assert found > 0.7 * COUNT


def test_the_nearest_class_is_whole_where_a_mean_would_be_another_class() -> None:
    mask = torch.where(torch.rand(4, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.5, 8, 2)
    batch = {"image": torch.zeros(4, 1, SIDE, SIDE), "mask": mask, "target": torch.zeros(4, dtype=torch.int64)}
    turned = augmented(batch, rotate=30.0, scale=0.2)["mask"]
    assert set(turned.flatten().tolist()) == {0, 2, 8}
    assert not torch.equal(turned, mask)


def test_what_comes_in_from_outside_has_the_fill_of_the_mask() -> None:
    fields: dict[str, Field] = {"image": Image(), "mask": Mask(fill=255)}
    batch = {"image": torch.ones(COUNT, 1, SIDE, SIDE), "mask": torch.full((COUNT, SIDE, SIDE), 3)}
    after = Augment(crop=4)(batch, fields, 0, np.random.default_rng(0))
    assert torch.equal(after["mask"] == 255, after["image"][:, 0] == 0)
    assert set(after["mask"].flatten().tolist()) == {3, 255}


def test_erasing_leaves_the_mask() -> None:
    batch = {**dots(), "image": torch.ones(COUNT, 1, SIDE, SIDE)}
    after = augmented(batch, erase=1.0)
    assert (after["image"] == 0).flatten(1).any(dim=1).float().mean() > 0.9
    assert torch.equal(after["mask"], batch["mask"])


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_refuses_masks(name: str) -> None:
    options: dict[str, Any] = {name: 0.4}
    with pytest.raises(UserError, match=rf"^dataset\.augment\.{name}=0\.4: cannot mix the data's mask; expected 0$"):
        Augment(**options).check(FIELDS, 10)
    Augment(**options).check({"image": Image(), "target": Label()}, 10)


@pytest.mark.parametrize(
    ("options", "fields", "num_classes", "reason"),
    [
        ({"flip": 0.5}, {"point": Vector(), "target": Label()}, 2, "changes images, and the data has none"),
        ({"cutmix": 1.0}, {"point": Vector(), "target": Label()}, 2, "changes images, and the data has none"),
        ({"mixup": 1.0}, {"image": Image()}, None, "mixes classes, and the data has none"),
        ({"mixup": 1.0}, {"image": Image(), "target": Label()}, None, "mixes classes, and the data has none"),
    ],
)
def test_what_the_data_cannot_be_augmented_by_is_refused(
    options: dict[str, Any], fields: dict[str, Field], num_classes: int | None, reason: str
) -> None:
    (name,) = options
    with pytest.raises(UserError, match=rf"^dataset\.augment\.{name}=.*: {reason}.*; expected 0$"):
        Augment(**options).check(fields, num_classes)


def test_points_are_mixed_by_mixup() -> None:
    fields: dict[str, Field] = {"point": Vector(), "target": Label()}
    batch = {"point": torch.eye(6), "target": torch.arange(6)}
    mixed = Augment(mixup=1.0)(batch, fields, 6, np.random.default_rng(0))
    torch.testing.assert_close(mixed["point"], mixed["target"])  # both are the same mixture of unit vectors


def test_a_mask_is_resized_as_its_image_is() -> None:
    halves = torch.zeros(2, 20, 20, dtype=torch.uint8)
    halves[:, :, 10:] = 5
    fitted = Mask().fit(halves, Sizes(1, image_size=6, resize_size=8))
    assert fitted.tolist() == [[[0] * 3 + [5] * 3] * 6] * 2
    assert Mask().read(fitted).dtype == torch.int64
    image = Image().fit((halves > 0).to(torch.uint8).unsqueeze(1) * 255, Sizes(1, image_size=6, resize_size=8))
    assert torch.equal(image[:, 0] > 127, fitted == 5)


# Sources of one's own


class Mine:
    """A map-style dataset of plain images with targets, which counts who asks for what."""

    def __init__(self, count: int = 60, classes: int = 3) -> None:
        self.pixels = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8)
        self.classes, self.asked = classes, 0

    @property
    def targets(self) -> list[int]:
        self.asked += 1
        return [number % self.classes for number in range(len(self.pixels))]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index]


class Nameless:
    """Items without targets."""

    def __init__(self, count: int = 60) -> None:
        self.pixels = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Batch:
        return {"image": self.pixels[index]}


def prepared(splits: Splits, **options: Any) -> Data:
    base = OmegaConf.load(paths.configs() / "dataset" / "_base.yaml")
    sizes: dict[str, Any] = {"image_size": 6, "resize_size": 6, "channels": 1, "num_classes": None, "workers": 0}
    config = OmegaConf.merge(base, OmegaConf.create({"batch_size": 10, **sizes, **options}))
    return prepare(splits, config, 0, torch.device("cpu"), None)


MEMORY = pytest.mark.parametrize("budget", [4.0, 0.0], ids=["memory", "stream"])


@MEMORY
def test_plain_images_with_targets_are_batches_of_both(budget: float) -> None:
    mine = Mine()
    data = prepared(Splits(mine, mine, ["a", "b", "c"]), memory_budget=budget, val_fraction=0.2)
    assert (len(data.train.source), len(data.val.source), data.facts["num_classes"]) == (48, 12, 3)
    held_out = torch.cat([batch["target"] for batch in data.val.epoch()])
    assert held_out.bincount().tolist() == [4, 4, 4]  # class by class
    batch = next(data.test.epoch())
    assert list(batch) == ["image", "target"]
    assert torch.equal(batch["image"], mine.pixels.float() / 255)
    assert batch["target"].tolist() == mine.targets


@MEMORY
def test_without_targets_the_split_is_random_and_nothing_is_chosen_by_class(budget: float) -> None:
    fields: dict[str, Field] = {"image": Image()}
    mine = Nameless()
    splits = Splits(mine, mine, fields=fields)
    data = prepared(splits, memory_budget=budget, val_fraction=0.25)
    train, val = (torch.cat([inputs(batch) for batch in part.epoch()]) for part in (data.train, data.val))
    assert (len(train), len(val)) == (45, 15)
    both = torch.cat([train, val]).mul(255).round().byte().flatten(1)
    assert sorted(both.tolist()) == sorted(mine.pixels.flatten(1).tolist())
    assert not torch.equal(val, mine.pixels[:15].float() / 255)
    assert "num_classes" not in data.facts
    with pytest.raises(UserError, match=r"^dataset\.per_class=2: the data has no targets to choose by; expected null$"):
        prepared(splits, memory_budget=budget, per_class=2)
    named = Splits(mine, mine, ["a", "b", "c"], fields=fields)
    with pytest.raises(UserError, match=r"^dataset\.classes=\[a,c\]: the data has no targets to choose by"):
        prepared(named, memory_budget=budget, classes=["a", "c"])


@MEMORY
def test_chosen_classes_are_renumbered_in_their_order(budget: float) -> None:
    mine = Mine()
    data = prepared(Splits(mine, mine, ["a", "b", "c"]), memory_budget=budget, classes=["c", "a"])
    batch = next(data.test.epoch())
    assert batch["target"].tolist() == [0 if target == 2 else 1 for target in mine.targets if target != 1]
    assert torch.equal(batch["image"], mine.pixels[torch.tensor(mine.targets) != 1].float() / 255)
    assert (data.classes, data.facts["num_classes"]) == (["c", "a"], 2)


def test_renumbering_a_stream_looks_at_every_target_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = Label.fit

    def counted(self: Label, values: Tensor, sizes: Sizes) -> Tensor:
        seen.append(values.numel())
        return fit(self, values, sizes)

    monkeypatch.setattr(Label, "fit", counted)
    for count in (300, 1200):
        mine = Mine(count)
        seen.clear()
        data = prepared(Splits(mine, mine, ["a", "b", "c"]), memory_budget=0.0, classes=["c", "a"])
        for epoch in range(2):
            assert sum(len(batch["target"]) for batch in data.train.epoch(epoch)) == count * 2 / 3 * 0.9
        assert mine.asked <= 4
        assert sum(seen) < 4 * count


def test_items_that_are_wrong_are_refused_by_what_is_wrong_with_them() -> None:
    pixels, targets = torch.zeros(4, 1, 6, 6, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    plain = labelled(pixels, targets)
    masked = Splits(plain, plain, ["a", "b"], fields={"image": Image(), "mask": Mask()})
    with pytest.raises(UserError, match=r"^dataset\.source: an item has no mask; expected image, mask, found"):
        prepared(masked, val_fraction=0.0)
    short = TensorSource({"image": pixels, "target": targets[:3]})
    with pytest.raises(UserError, match=r"^dataset\.source: 4 items and 3 targets; expected as many$"):
        prepared(Splits(short, short, ["a", "b"]))
    integers = labelled(pixels.long(), targets)
    with pytest.raises(UserError, match=r"^dataset\.source: an image is int64 \(.*1, 6, 6\); expected uint8"):
        prepared(Splits(integers, integers, ["a", "b"]))


# Points through the verbs

POINTS = ("train", "dataset=moons", "model=mlp", "model.width=16", "optimizer=adam", "optimizer.lr=0.01")


def test_points_are_attacked_and_not_explained_or_visualized(dlrun: Dlrun) -> None:
    quiet = ("callback.tensorboard.images=0", "callback.tensorboard.graph=false")
    ended = dlrun(*POINTS, *quiet, "trainer.epochs=8", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    ended = dlrun("attack", "run=run", "attack=pgd", "attack.eps=0.2", "check=0", "save=true")
    assert ended.status == 0, ended.err
    found = only_run(Path("runs/attack"))
    metrics = result(found)["metrics"]
    assert metrics["clean_accuracy"] == result(Path("run"))["metrics"]["test/accuracy"] > 0.8
    assert metrics["robust_accuracy"] < metrics["clean_accuracy"] - 0.3
    saved = torch.load(found / "adversarial.pt", weights_only=True)["images"]
    assert saved.shape == (1, 500, 2)
    assert 0 <= saved.min() <= saved.max() <= 1
    for verb in ("explain", "visualize"):
        ended = dlrun(verb, "run=run")
        assert ended.status == 2
        (line,) = ended.errors
        assert line == (
            f"dlrun: dataset.source._target_=dlrun.dataset.points.moons: {verb} needs images of 1 or 3 channels;"
            " an example of this dataset is 2 numbers"
        )
