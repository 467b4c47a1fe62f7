"""What tasks draw and write about a scored split: which examples, with which words, under which names."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import dlrun.figure.confusion_matrix
import dlrun.figure.samples
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import labelled
from dlrun.loss.bce import BinaryCrossEntropy
from dlrun.record.recorder import Recorder
from dlrun.task import multi_label, regression, segmentation
from dlrun.task.classification import Classification
from dlrun.task.multi_label import MultiLabel
from dlrun.task.regression import Regression
from dlrun.task.segmentation import Segmentation
from dlrun.task.task import Task

CPU = torch.device("cpu")
NAMES = ["ant", "bee", "cat"]


class Told(Recorder):
    """A recorder that keeps what it is told; a figure is whatever took the place of its drawing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.drawn: dict[str, tuple[Any, int]] = {}
        self.curves: list[Any] = []

    def figure(self, name: str, figure: Any, step: int = 0) -> None:
        self.drawn[name] = (figure, step)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        self.curves.append((probabilities, targets, classes, step))


def kept(*arguments: Any) -> Any:
    """In place of a function that draws: what it was given."""
    return arguments


def shown(task: Task, source: Any, logits: Tensor, recorder: Told, most: int) -> None:
    """Score the logits on the source and show what comes out, after step 7."""
    loader = Loader(source, 2, CPU, in_memory=True, workers=0, num_classes=3, seed=None)
    scores, first = task.scores(), 0
    for batch in loader.epoch():
        outputs = logits[first : first + len(batch["target"])]
        scores.add(batch, torch.tensor(0.0), outputs)
        first += len(outputs)
    task.show(scores, recorder, loader, NAMES, 7, most)


def test_a_classification_shows_its_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlrun.figure.confusion_matrix, "confusion_matrix", kept)
    monkeypatch.setattr(dlrun.figure.samples, "samples", kept)
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 2, 2) * 51
    logits = torch.tensor([[2.0, 0, 0], [3.0, 0, 0], [0, 2.0, 0], [9.0, 0, 0], [0, 1.0, 0]])
    source = labelled(pixels.contiguous(), torch.tensor([0, 1, 1, 2, 0]))
    task = Classification(nn.CrossEntropyLoss(), 3)
    told = Told(tmp_path)
    shown(task, source, logits, told, most=2)
    (counts, classes), step = told.drawn["confusion_matrix"]
    assert (counts.tolist(), classes, step) == ([[1, 1, 0], [1, 1, 0], [1, 0, 0]], NAMES, 7)
    ((probabilities, targets, classes, step),) = told.curves
    torch.testing.assert_close(probabilities, logits.softmax(1))
    assert (targets.tolist(), classes, step) == ([0, 1, 1, 2, 0], NAMES, 7)
    (title, images, captions), step = told.drawn["most_wrong"]
    assert (title, step) == ("The 2 surest of 3 mistakes: what it is, not what the model says", 7)
    assert captions == ["cat, not ant", "bee, not ant"]
    torch.testing.assert_close(images[:, 0, 0, 0], torch.tensor([0.6, 0.2]))
    right = Told(tmp_path)
    shown(task, source, 5.0 * torch.eye(3)[[0, 1, 1, 2, 0]], right, most=2)
    assert right.drawn.keys() == {"confusion_matrix"}


def test_several_labels_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_label, "samples", kept)
    pixels = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 2, 2) * 51
    targets = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    logits = torch.tensor([[1.5, -1, 2], [1, 2, -1], [-1, -1, -2.0]])
    told = Told(tmp_path)
    shown(MultiLabel(BinaryCrossEntropy(), 3), labelled(pixels.contiguous(), targets), logits, told, most=9)
    (title, images, captions), step = told.drawn["labels"]
    assert (title, step) == ("What was said of them, and what is true", 7)
    assert captions == ["ant cat (true: ant cat)", "ant bee (true: bee)", "- (true: ant)"]
    torch.testing.assert_close(images[:, 0, 0, 0], torch.tensor([0.0, 0.2, 0.4]))
    with (tmp_path / "average_precision.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == NAMES
    assert [float(row["average_precision"]) for row in rows] == pytest.approx([(1 / 1 + 2 / 3) / 2, 1, 1])
    none = Told(tmp_path)
    shown(MultiLabel(BinaryCrossEntropy(), 3), labelled(pixels.contiguous(), targets), logits, none, most=0)
    assert not none.drawn


def test_several_labels_have_the_loss_of_their_logits() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    batch = {"image": torch.rand(5, 1, 2, 2), "target": (torch.rand(5, 3) < 0.5).float()}
    loss, outputs = MultiLabel(BinaryCrossEntropy(), 3).loss(net, batch)
    torch.testing.assert_close(outputs, net(batch["image"]))
    torch.testing.assert_close(loss, nn.functional.binary_cross_entropy(outputs.sigmoid(), batch["target"]))


@pytest.mark.parametrize("most", [0, 1])
def test_a_regression_shows_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(regression, "residuals", kept)
    task = Regression(nn.MSELoss(), 1, mean=[10.0], std=[4.0])
    told, scores = Told(tmp_path), task.scores()
    batch = {"x": torch.tensor([[1.0], [2.0]]), "target": torch.tensor([[12.0], [15.0]])}
    scores.add(batch, torch.tensor(0.0), torch.tensor([[0.5], [1.0]]))
    task.show(scores, told, None, NAMES, 7, most)  # type: ignore[arg-type]
    assert list(told.drawn) == ["residuals"][:most]
    for given, step in told.drawn.values():
        assert [part.flatten().tolist() for part in given] == [[1.0, 2.0], [12.0, 15.0], [12.0, 14.0]]
        assert step == 7


@pytest.mark.parametrize("most", [0, 1])
def test_a_segmentation_shows_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(segmentation, "segmentation", kept)
    task = Segmentation(nn.CrossEntropyLoss(), 3)
    told, scores = Told(tmp_path), task.scores()
    images, masks = torch.rand(2, 1, 1, 3), torch.tensor([[[0, 1, 1]], [[0, 0, 1]]])
    logits = nn.functional.one_hot(torch.tensor([[[0, 1, 0]], [[0, 0, 1]]]), 3).permute(0, 3, 1, 2).float()
    scores.add({"image": images, "mask": masks}, torch.tensor(0.0), logits)
    task.show(scores, told, None, NAMES, 7, most)  # type: ignore[arg-type]
    assert list(told.drawn) == ["segmentation"][:most]
    for (image, mask, predicted, names), step in told.drawn.values():
        assert torch.equal(image, images)
        assert (mask.tolist(), predicted.tolist()) == (masks.tolist(), [[[0, 1, 0]], [[0, 0, 1]]])
        assert (names, step) == (NAMES, 7)
    with (tmp_path / "iou.csv").open(encoding="utf-8") as stream:
        rows = {row["class"]: float(row["iou"]) for row in csv.DictReader(stream)}
    assert rows == pytest.approx({"ant": 3 / 4, "bee": 2 / 3, "cat": math.nan}, nan_ok=True)


def test_the_figures_themselves_are_drawn(tmp_path: Path) -> None:
    """With nothing in the place of their functions."""
    told = Told(tmp_path)
    source = labelled(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    shown(Classification(nn.CrossEntropyLoss(), 3), source, torch.eye(3)[[1, 0]], told, most=1)
    assert all(isinstance(figure, Figure) for figure, _ in told.drawn.values())
    assert told.drawn.keys() == {"confusion_matrix", "most_wrong"}
