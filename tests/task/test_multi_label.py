"""Several labels for an image: scores against scikit-learn, canvases of two digits."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import average_precision_score

from dlrun.dataset.source import TensorSource
from dlrun.dataset.two_digits import load
from dlrun.errors import UserError
from dlrun.loss.bce import BinaryCrossEntropy
from dlrun.task.multi_label import MultiLabel
from tests.conftest import Dlrun


def test_scores_are_scikit_learns_and_plain_shares() -> None:
    torch.manual_seed(0)
    task = MultiLabel(BinaryCrossEntropy(), 4)
    targets = (torch.rand(50, 4) < 0.4).float()
    targets[:, 3] = 0  # of a label that no image has, nothing can be said
    logits = torch.randn(50, 4) + 2 * targets
    scores = task.scores()
    for part, wanted in zip(torch.split(logits, 16), torch.split(targets, 16), strict=True):
        batch = {"image": torch.zeros(len(part), 1, 2, 2), "target": wanted}
        scores.add(batch, task.criterion(part, wanted), part)
    metrics = scores.metrics()
    each = [average_precision_score(targets[:, label], logits[:, label]) for label in range(3)]
    assert scores.per_class()[:3].tolist() == pytest.approx(each, abs=1e-6)
    assert metrics["mean_average_precision"] == pytest.approx(sum(each) / 3, abs=1e-6)
    right = (logits > 0) == targets.bool()
    assert metrics["accuracy"] == pytest.approx(right.float().mean().item())
    assert metrics["exact_share"] == pytest.approx(right.all(dim=1).float().mean().item())
    loss = torch.nn.functional.binary_cross_entropy(logits.sigmoid(), targets)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_a_probability_of_one_half_names_no_label() -> None:
    task, batch = MultiLabel(BinaryCrossEntropy(), 3), {"image": torch.zeros(2, 1, 2, 2), "target": torch.zeros(2, 3)}
    scores, logits = task.scores(), torch.zeros(2, 3)
    scores.add(batch, torch.tensor(0.0), logits)
    assert float(task.batch_metrics(logits, batch)["accuracy"]) == 1
    assert (scores.metrics()["accuracy"], scores.metrics()["exact_share"]) == (1, 1)


@pytest.mark.parametrize(("shape", "found"), [((4, 2), "2"), ((4, 3, 5), "3x5")])
def test_another_number_of_outputs_is_refused(shape: tuple[int, ...], found: str) -> None:
    task = MultiLabel(BinaryCrossEntropy(), 3)
    task.check_output(torch.zeros(4, 3))
    with pytest.raises(ValueError, match=f"^gives {found} outputs; task=multi_label expects 3, one for each label$"):
        task.check_output(torch.zeros(shape))


def test_a_yes_or_no_for_each_label_is_expected() -> None:
    task = MultiLabel(BinaryCrossEntropy(), 3)
    task.check_batch({"target": torch.zeros(4, 3)})
    for target in (torch.zeros(4, dtype=torch.int64), torch.zeros(4, 3, 2)):
        with pytest.raises(UserError, match=r"^task=multi_label: an example has one class; expected a 0 or 1 for each"):
            task.check_batch({"target": target})


def test_both_digits_of_a_canvas_are_named_where_one_was() -> None:
    both, one = (load(image_size=16, source="digits", train=40, test=5, both=both).train for both in (True, False))
    assert isinstance(both, TensorSource)
    assert isinstance(one, TensorSource)
    assert torch.equal(both.tensors["image"], one.tensors["image"])
    assert (both.targets.sum(dim=1) == 2).all()
    assert (both.targets.gather(1, one.targets[:, None]) == 1).all()


def test_data_with_one_class_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "task=multi_label", "model=linear", "dataset.image_size=8")
    assert (ended.status, ended.errors) == (
        2,
        ["dlrun: task=multi_label: an example has one class; expected a 0 or 1 for each, task=classification"],
    )
