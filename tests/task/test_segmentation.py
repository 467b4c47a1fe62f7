"""Segmentation: its scores against torchmetrics, and a training from the command line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from dlrun.dataset import mask_folder
from dlrun.dataset.field import Sizes
from dlrun.dataset.fitted import Fitted
from dlrun.dataset.scattered_digits import load
from dlrun.dataset.source import TensorSource
from dlrun.errors import UserError
from dlrun.model.fcn import FCN
from dlrun.model.layer_table import layers
from dlrun.model.unet import UNet
from dlrun.task.segmentation import Segmentation
from tests.conftest import Dlrun, result

SMALL = (
    "model=unet",
    "model.widths=[8,16]",
    "task=segmentation",
    "dataset=scattered_digits",
    "dataset.image_size=20",
    "dataset.source.source=digits",
    "dataset.source.digit_size=10",
    "dataset.source.train=120",
    "dataset.source.test=40",
    "dataset.batch_size=20",
    "optimizer=adam",
    "optimizer.lr=0.01",
    "trainer.epochs=12",
    "callback.tensorboard.graph=false",
)


def test_scores_are_those_of_torchmetrics_over_the_whole_split() -> None:
    torch.manual_seed(0)
    task = Segmentation(nn.CrossEntropyLoss(), 4, background=0)
    logits, masks = torch.randn(10, 4, 6, 6), torch.randint(0, 4, (10, 6, 6))
    logits += 2 * nn.functional.one_hot(masks, 4).permute(0, 3, 1, 2)
    scores = task.scores()
    for part, mask in zip(torch.split(logits, 3), torch.split(masks, 3), strict=True):
        batch = {"image": torch.zeros(len(part), 1, 6, 6), "mask": mask}
        scores.add(batch, nn.functional.cross_entropy(part, mask), part)
    metrics = scores.metrics()
    predictions = logits.argmax(dim=1)
    each = multiclass_jaccard_index(predictions, masks, 4, average="none")
    torch.testing.assert_close(scores.per_class(), each)
    assert torch.equal(scores.counts, multiclass_confusion_matrix(predictions, masks, 4))
    assert metrics["mean_iou"] == pytest.approx(float(each[1:].mean()), rel=1e-6)
    assert metrics["accuracy"] == pytest.approx(float(multiclass_accuracy(predictions, masks, 4, average="micro")))
    assert metrics["loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, masks)), rel=1e-5)


def test_canvases_hold_digits_and_the_classes_of_their_pixels() -> None:
    splits = load("", image_size=32, source="digits", digit_size=10, most=3, train=30, test=5)
    assert isinstance(splits.train, TensorSource)
    images, masks = splits.train.tensors["image"][:, 0], splits.train.tensors["mask"]
    assert splits.classes == ["background", *map(str, range(10))]
    assert torch.equal(masks > 0, images >= 64)
    digits = [len(mask.unique()) - 1 for mask in masks]
    assert min(digits) >= 1
    assert max(digits) == 3
    again = load("", image_size=32, source="digits", digit_size=10, most=3, train=30, test=5)
    assert isinstance(again.train, TensorSource)
    assert torch.equal(again.train.tensors["image"][:, 0], images)


def test_a_unet_gives_every_pixel_its_classes_and_says_what_it_cannot_take() -> None:
    net = UNet(1, 24, 5, [4, 8, 16])
    assert net(torch.zeros(2, 1, 24, 24)).shape == (2, 5, 24, 24)
    with pytest.raises(ValueError, match="divisible"):
        UNet(1, 22, 5, [4, 8, 16])


@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_loss_that_weighs_its_pixels_is_the_same_in_batches_of_any_size(size: int) -> None:
    torch.manual_seed(0)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 5.0, 1.0]))
    masks = (torch.rand(10, 4, 4) < torch.linspace(0, 1, 10).view(-1, 1, 1)).long()  # the last ones weigh most
    logits, task = torch.randn(10, 3, 4, 4), Segmentation(loss, 3)
    scores = task.scores()
    for part, mask in zip(torch.split(logits, size), torch.split(masks, size), strict=True):
        scores.add({"image": torch.zeros(len(part), 1, 4, 4), "mask": mask}, loss(part, mask), part)
    assert scores.metrics()["loss"] == pytest.approx(loss(logits, masks).item(), rel=1e-5)


def test_the_first_six_images_are_kept() -> None:
    task = Segmentation(nn.CrossEntropyLoss(), 2)
    for size in (4, 6):
        scores, image = task.scores(), torch.arange(12.0).view(12, 1, 1, 1)
        for part in torch.split(image, size):
            mask = torch.zeros(len(part), 1, 1, dtype=torch.int64)
            scores.add({"image": part, "mask": mask}, torch.tensor(0.0), torch.zeros(len(part), 2, 1, 1))
        assert scores.kept[0].flatten().tolist() == [0, 1, 2, 3, 4, 5]
        assert len(scores._kept) == (2 if size == 4 else 1)  # and no more than it takes


@pytest.mark.parametrize("background", [-1, 3])
def test_a_background_that_is_no_class_is_refused(background: int) -> None:
    for known in (0, 2, None):
        assert Segmentation(nn.CrossEntropyLoss(), 3, background=known).background == known
    with pytest.raises(ValueError, match=f"^background={background}: expected a class, 0 to 2, or null$"):
        Segmentation(nn.CrossEntropyLoss(), 3, background=background)


@pytest.mark.parametrize(("shape", "found"), [((1, 3), "3"), ((1, 4, 8, 9), "4x8x9"), ((1, 3, 8), "3x8")])
def test_a_network_without_logits_for_pixels_is_refused(shape: tuple[int, ...], found: str) -> None:
    task = Segmentation(nn.CrossEntropyLoss(), 3)
    task.check_output(torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match=f"^gives {found} for an image; expected 3 logits a pixel, as of unet$"):
        task.check_output(torch.zeros(shape))


def test_a_training_learns_and_continues(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    found = result(Path("whole"))
    assert found["monitor"] == "val/mean_iou"
    rows = Path("whole/metrics.csv").read_text().splitlines()
    first, last = (float(row.split(",")[rows[0].split(",").index("train/loss")]) for row in (rows[1], rows[-1]))
    assert last < 0.4 * first
    assert (Path("whole") / "figures" / "segmentation.png").exists()
    ended = dlrun("evaluate", "run=whole", "hydra.run.dir=measured")
    assert ended.status == 0, ended.err
    again = result(Path("measured"))["metrics"]
    assert again["test/mean_iou"] == pytest.approx(found["metrics"]["test/mean_iou"], abs=1e-6)
    assert (Path("measured") / "segmentation.png").exists()
    with (Path("measured") / "iou.csv").open(encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert [row["class"] for row in table] == ["background", *map(str, range(10))]
    mean = sum(float(row["iou"]) for row in table[1:]) / 10
    assert mean == pytest.approx(again["test/mean_iou"], abs=1e-6)


def test_a_dataset_without_masks_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "task=segmentation", "model=unet", "dataset=digits")
    assert ended.status == 2
    assert ended.errors == ["dlrun: task=Segmentation: needs mask; the dataset has image, target"]


def masked(folder: Path, count: int = 6) -> None:
    """Images with a bright square, and masks with class 2 where it is."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        top, left = rng.integers(0, 10, 2)
        mask = np.zeros((16, 20), dtype=np.uint8)
        mask[top : top + 6, left : left + 6] = 2
        Image.fromarray(mask * 100).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def test_a_folder_of_masks_is_read_as_it_is(tmp_path: Path) -> None:
    masked(tmp_path)
    splits = mask_folder.load(str(tmp_path), channels=1)
    assert splits.classes == ["0", "1", "2"]
    assert (len(splits.train), len(splits.test)) == (5, 1)
    for part in (splits.train, splits.test):
        for index in range(len(part)):
            item = part[index]
            assert isinstance(item, dict)
            assert torch.equal(item["image"][0], item["mask"] * 100)


def broken(what: str, folder: Path) -> None:
    """Damage a folder of masks."""
    mask = folder / "masks" / "3.png"
    if what == "size":
        Image.new("L", (20, 15)).save(mask)
    elif what == "class":
        Image.new("L", (20, 16), 7).save(mask)
    elif what == "colours":
        Image.new("RGB", (20, 16)).save(mask)
    elif what == "text":
        mask.write_text("no picture")
    elif what == "alone":
        mask.unlink()
    else:
        shutil.rmtree(folder / "masks")


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("size", "masks/3.png and its image are 20x15 and 20x16; expected one size"),
        ("class", "masks/3.png has the class 7; expected 0 to 2"),
        ("colours", "3.png: a mask of RGB; expected one channel, or a palette"),
        ("text", "3.png: not a readable mask"),
        ("alone", "nothing in masks for 3; expected one of the same name"),
        ("folder", "no folder masks; expected images and masks in it"),
    ],
)
def test_a_bad_folder_of_masks_is_refused_in_a_line(tmp_path: Path, what: str, complaint: str) -> None:
    masked(tmp_path)
    broken(what, tmp_path)
    with pytest.raises(UserError, match=complaint) as error:
        mask_folder.load(str(tmp_path), channels=1, num_classes=3)
    assert "\n" not in str(error.value)


def test_canvases_need_not_be_squares() -> None:
    splits = load("", shape=[1, 20, 33], source="digits", digit_size=10, train=8, test=2)
    fitted = Fitted.whole(splits.train, splits.fields, Sizes(1, 20, None, (20, 33)))
    assert fitted[0]["image"].shape == (1, 20, 33)
    assert isinstance(splits.train, TensorSource)
    assert torch.equal(fitted[3]["mask"], splits.train.tensors["mask"][3])
    small = Fitted.whole(splits.train, splits.fields, Sizes(1, 20, None, (10, 11)))
    assert torch.equal(small[3]["mask"], splits.train.tensors["mask"][3][1::2, 1::3])


def test_dilation_adds_reach_and_no_weights() -> None:
    networks = [FCN(1, 5, 8, dilations) for dilations in ([1] * 6, [1, 2, 4, 8, 4, 2])]
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert counts[0] == counts[1]
    image = torch.zeros(1, 1, 64, 64)
    assert [layers(network, image)[-1].receptive_field for network in networks] == [13, 43]
    assert networks[1](image).shape == (1, 5, 64, 64)
    with pytest.raises(ValueError, match="expected 1 or more"):
        FCN(1, 5, 8, [0])


def test_pictures_get_masks_and_other_verbs_say_what_they_take(dlrun: Dlrun) -> None:
    masked(Path("data"))
    small = ("dataset.image_size=16", "dataset.channels=1", "model=fcn", "model.width=8", "model.dilations=[1,1]")
    fast = ("trainer.epochs=30", "optimizer=adam", "optimizer.lr=0.05", "dataset.val_fraction=0")
    quiet = ("callback.tensorboard.graph=false", "callback.curves=null", "hydra.run.dir=run")
    ended = dlrun("train", "task=segmentation", "dataset=mask_folder", "dataset.root=data", *small, *fast, *quiet)
    assert ended.status == 0, ended.err
    assert result(Path("run"))["metrics"]["test/mean_iou"] > 0.4
    ended = dlrun("predict", "run=run", "input=data/images", "hydra.run.dir=masks")
    assert ended.status == 0, ended.err
    with Image.open("masks/masks/0.png") as file:
        found = np.array(file)
    assert found.shape == (16, 16)
    assert set(np.unique(found)) <= {0, 2}
    for verb in (("attack", "attack=fgsm"), ("explain",), ("certify",)):
        ended = dlrun(verb[0], "run=run", *verb[1:])
        assert (ended.status, len(ended.errors)) == (2, 1)
        assert "takes a classifier; expected a run of task=classification" in ended.err
