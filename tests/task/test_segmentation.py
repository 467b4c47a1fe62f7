"""Segmentation: its scores against torchmetrics, and a training from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from dlrun.dataset.scattered_digits import load
from dlrun.dataset.source import TensorSource
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


def test_a_training_learns_and_continues(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    found = result(Path("whole"))
    assert found["monitor"] == "val/mean_iou"
    rows = Path("whole/metrics.csv").read_text().splitlines()
    first, last = (float(row.split(",")[rows[0].split(",").index("train/loss")]) for row in (rows[1], rows[-1]))
    assert last < 0.4 * first
    assert (Path("whole") / "figures" / "segmentation.png").exists()
    ended = dlrun("evaluate", "run=whole")
    assert ended.status == 2
    assert ended.errors == [
        "dlrun: task=Segmentation: evaluate takes a classifier; expected a run of task=classification"
    ]


def test_a_dataset_without_masks_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "task=segmentation", "model=unet", "dataset=digits")
    assert ended.status == 2
    assert ended.errors == ["dlrun: task=Segmentation: needs mask; the dataset has image, target"]
