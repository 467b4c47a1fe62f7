from __future__ import annotations

import math
import re

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.dataset.batch import Batch
from dlrun.loss.bce import BinaryCrossEntropy
from dlrun.task.classification import Classification, ClassificationScores

COUNT, CLASSES = 400, 5


def batch_of(targets: Tensor) -> Batch:
    return {"image": torch.zeros(len(targets), 1, 2, 2), "target": targets}


def scores_of(logits: Tensor, targets: Tensor, sizes: int = 64) -> ClassificationScores:
    """The scores of batches of 64, the last of them smaller."""
    task = Classification(nn.CrossEntropyLoss(), CLASSES)
    scores = task.scores()
    for part, classes in zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True):
        scores.add(batch_of(classes), F.cross_entropy(part, classes) if part.shape[1] > 1 else torch.tensor(0.0), part)
    return scores


@pytest.fixture
def targets() -> Tensor:
    return torch.randint(0, CLASSES, (COUNT,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def logits(targets: Tensor) -> Tensor:
    """Logits that are right more often than not."""
    noise = torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(0))
    return 2 * noise + 2 * F.one_hot(targets, CLASSES)


@pytest.fixture
def scores(logits: Tensor, targets: Tensor) -> ClassificationScores:
    return scores_of(logits, targets)


def test_the_loss_is_the_mean_over_all_examples(scores: ClassificationScores, logits: Tensor, targets: Tensor) -> None:
    assert scores.metrics()["loss"] == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)


def test_accuracy_matches_scikit_learn(scores: ClassificationScores, logits: Tensor, targets: Tensor) -> None:
    expected = sklearn.metrics.accuracy_score(targets, logits.argmax(dim=1))
    assert scores.metrics()["accuracy"] == expected


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_accuracy_matches_scikit_learn(
    scores: ClassificationScores, logits: Tensor, targets: Tensor, k: int
) -> None:
    expected = sklearn.metrics.top_k_accuracy_score(targets, logits.numpy(), k=k)
    assert scores.detailed(k)[f"top{k}_accuracy"] == pytest.approx(expected, abs=1e-6)


def test_top_k_is_at_most_the_number_of_classes(scores: ClassificationScores) -> None:
    assert scores.detailed(99)["top5_accuracy"] == 1


def test_detailed_metrics_begin_with_loss_and_accuracy(scores: ClassificationScores) -> None:
    detailed = scores.detailed(2)
    assert {name: detailed[name] for name in ("loss", "accuracy")} == scores.metrics()


@pytest.mark.parametrize(("place", "name"), [(0, "precision"), (1, "recall"), (2, "f1")])
def test_means_over_classes_match_scikit_learn(
    scores: ClassificationScores, logits: Tensor, targets: Tensor, place: int, name: str
) -> None:
    expected = sklearn.metrics.precision_recall_fscore_support(
        targets, logits.argmax(dim=1), average="macro", zero_division=0
    )
    assert scores.detailed(5)[name] == pytest.approx(expected[place], rel=1e-6)


@pytest.mark.parametrize(("place", "name"), [(0, "precision"), (1, "recall"), (2, "f1")])
def test_scores_of_each_class_match_scikit_learn(
    scores: ClassificationScores, logits: Tensor, targets: Tensor, place: int, name: str
) -> None:
    expected = sklearn.metrics.precision_recall_fscore_support(targets, logits.argmax(dim=1), zero_division=0)
    np.testing.assert_allclose(scores.per_class()[name], expected[place], rtol=1e-6)


def test_a_class_that_is_predicted_alone_scores_0() -> None:
    scores = scores_of(torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]]), torch.tensor([0, 1, 1]))
    found = {name: values.tolist() for name, values in scores.per_class().items()}
    assert found == {"precision": [1, 1, 0], "recall": [1, 0.5, 0], "f1": [1, pytest.approx(2 / 3), 0]}


def test_confusion_has_a_row_for_each_true_class(scores: ClassificationScores, logits: Tensor, targets: Tensor) -> None:
    expected = sklearn.metrics.confusion_matrix(targets, logits.argmax(dim=1))
    np.testing.assert_array_equal(scores.confusion(), expected)


def test_a_single_batch_has_a_confusion_matrix() -> None:
    scores = scores_of(torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]]), torch.tensor([0, 1, 1]))
    assert scores.confusion().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def calibration_error(logits: Tensor, targets: Tensor) -> float:
    """The gap between confidence and accuracy in 15 bins, weighted by their examples."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    right = (predicted == targets).float()
    error = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            error += (right[inside].mean() - confidence[inside].mean()).abs().item() * inside.float().mean().item()
    return error


def test_calibration_error_matches_a_plain_loop(scores: ClassificationScores, logits: Tensor, targets: Tensor) -> None:
    assert scores.detailed(5)["calibration_error"] == pytest.approx(calibration_error(logits, targets), abs=1e-6)


def test_calibration_error_counts_full_confidence_into_the_last_bin() -> None:
    logits = torch.tensor([[60.0, 0.0], [3.0, 0.0]]).repeat(50, 1)  # confidence 1 and 0.95
    targets = torch.tensor([1, 0] * 10 + [0] * 80)  # too sure of itself at 1, not sure enough at 0.95
    found = scores_of(logits, targets).detailed(1)["calibration_error"]
    assert found == pytest.approx(calibration_error(logits, targets), abs=1e-6)


def test_calibration_error_matches_torchmetrics(scores: ClassificationScores, logits: Tensor, targets: Tensor) -> None:
    expected = torchmetrics.CalibrationError(task="multiclass", num_classes=CLASSES, n_bins=15)(
        logits.softmax(dim=1), targets
    )
    assert scores.detailed(5)["calibration_error"] == pytest.approx(expected.item(), abs=1e-6)


def test_most_wrong_are_the_misclassified_by_the_probability_of_their_class(
    scores: ClassificationScores, logits: Tensor, targets: Tensor
) -> None:
    probabilities = logits.softmax(dim=1).tolist()
    rows = enumerate(zip(probabilities, targets.tolist(), strict=True))
    wrong = sorted((row[target], place) for place, (row, target) in rows if max(row) != row[target])
    assert scores.most_wrong(10).tolist() == [place for _, place in wrong[:10]]


def test_most_wrong_holds_no_image_that_is_right(scores: ClassificationScores) -> None:
    errors = round(COUNT * (1 - scores.metrics()["accuracy"]))
    assert len(scores.most_wrong(COUNT)) == errors


def test_scores_do_not_depend_on_the_batches(logits: Tensor, targets: Tensor) -> None:
    assert scores_of(logits, targets, sizes=7).detailed(2) == pytest.approx(scores_of(logits, targets).detailed(2))


def test_a_single_logit_is_the_second_of_two_classes() -> None:
    logits = torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    scores = scores_of(logits, torch.arange(50) % 2)
    torch.testing.assert_close(scores.probabilities[:, 1:], torch.sigmoid(logits))
    assert scores.predictions.tolist() == [int(logit > 0) for logit in logits]


def test_a_single_logit_scores_as_two_logits_do() -> None:
    logits = torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50) % 2
    one, two = scores_of(logits, targets), scores_of(torch.cat([-logits / 2, logits / 2], dim=1), targets)
    names = ("accuracy", "precision", "recall", "f1", "calibration_error")
    assert [one.detailed(1)[name] for name in names] == pytest.approx([two.detailed(1)[name] for name in names])


def test_mixed_targets_count_as_their_larger_share() -> None:
    scores = ClassificationScores(Classification(nn.CrossEntropyLoss(), 2))
    batch = batch_of(torch.tensor([[0.3, 0.7], [0.6, 0.4]]))
    scores.add(batch, torch.tensor(0.0), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert scores.targets.tolist() == [1, 0]
    assert scores.metrics()["accuracy"] == 0.5


def test_a_forward_pass_gives_the_logits_and_their_loss() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    batch = {"image": torch.rand(6, 1, 2, 2), "target": torch.arange(6) % 3}
    loss, outputs = Classification(nn.CrossEntropyLoss(), 3).loss(model, batch)
    torch.testing.assert_close(outputs, model(batch["image"]))
    torch.testing.assert_close(loss, F.cross_entropy(outputs, batch["target"]))


@pytest.mark.parametrize("outputs", [[[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]], [[1.0], [-1.0], [-2.0]]])
def test_the_accuracy_of_a_batch(outputs: list[list[float]]) -> None:
    batch = batch_of(torch.tensor([1, 0, 1]))
    metrics = Classification(BinaryCrossEntropy(), 2).batch_metrics(torch.tensor(outputs), batch)
    assert metrics["accuracy"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(("num_classes", "outputs"), [(10, 10), (2, 2), (2, 1)])
def test_an_output_for_each_class_is_accepted(num_classes: int, outputs: int) -> None:
    Classification(BinaryCrossEntropy(), num_classes).check_output(torch.zeros(1, outputs))


@pytest.mark.parametrize(
    ("num_classes", "shape", "found"),
    [(10, (1, 9), "9"), (10, (1, 1), "1"), (2, (1, 3), "3"), (10, (1, 10, 4, 5), "10x4x5")],
)
def test_another_number_of_outputs_is_refused(num_classes: int, shape: tuple[int, ...], found: str) -> None:
    message = f"gives {found} outputs for an image; expected {num_classes}, one for each class"
    with pytest.raises(ValueError, match=f"^{message}$"):
        Classification(BinaryCrossEntropy(), num_classes).check_output(torch.zeros(shape))


class Picky(nn.Module):
    """A loss that learns from some classes alone, and takes no more than four logits."""

    def __init__(self, *learned: int) -> None:
        super().__init__()
        self.learned = torch.tensor(learned)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape[1] > 4:
            raise ValueError("four at most\nand no more")
        return logits.sum() * torch.isin(targets, self.learned)


@pytest.mark.parametrize(
    ("loss", "outputs", "message"),
    [
        (nn.CrossEntropyLoss(), 1, "loss=CrossEntropyLoss has zero gradient with one output; expected another loss"),
        (Picky(0, 1), 3, "loss=Picky has zero gradient with 3 outputs; expected another loss"),
        (Picky(1, 2), 3, "loss=Picky has zero gradient with 3 outputs; expected another loss"),
        (Picky(), 5, "loss=Picky cannot take 5 outputs and a class (four at most)"),
    ],
)
def test_a_loss_that_does_not_learn_from_the_outputs_is_refused(loss: nn.Module, outputs: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Classification(loss, max(outputs, 2)).check_output(torch.zeros(1, outputs))


WEIGHTED = {
    "weights": nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0, 0.5, 2.0])),
    "weights and smoothing": nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0, 0.5, 2.0]), label_smoothing=0.2),
    "an ignored class": nn.CrossEntropyLoss(ignore_index=3),
    "plain": nn.CrossEntropyLoss(),
}


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("size", [7, 64, COUNT])
def test_a_loss_that_weighs_its_examples_is_the_same_in_batches_of_any_size(
    name: str, size: int, logits: Tensor, targets: Tensor
) -> None:
    loss = WEIGHTED[name]
    task = Classification(loss, CLASSES)
    scores = task.scores()
    for part, classes in zip(torch.split(logits, size), torch.split(targets, size), strict=True):
        scores.add(batch_of(classes), loss(part, classes), part)
    assert scores.metrics()["loss"] == pytest.approx(loss(logits, targets).item(), rel=1e-5)
    assert ("nll" in scores.metrics()) == (name != "plain")
    if name != "plain":
        assert scores.metrics()["nll"] == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)
        assert float(task.batch_metrics(logits, batch_of(targets))["nll"]) == pytest.approx(scores.metrics()["nll"])


def test_a_batch_whose_examples_are_all_ignored_does_not_count(logits: Tensor, targets: Tensor) -> None:
    loss = WEIGHTED["an ignored class"]
    task = Classification(loss, CLASSES)
    scores, ignored = task.scores(), torch.full((8,), 3)
    scores.add(batch_of(ignored), loss(logits[:8], ignored), logits[:8])
    assert math.isnan(scores.metrics()["loss"])  # no example, no mean
    scores.add(batch_of(targets), loss(logits, targets), logits)
    assert scores.metrics()["loss"] == pytest.approx(loss(logits, targets).item(), rel=1e-5)


def test_the_likelihood_beside_another_loss_is_better_low() -> None:
    assert Classification(WEIGHTED["weights"], CLASSES).higher_is_better == {
        "loss": False,
        "accuracy": True,
        "nll": False,
    }
    assert Classification(nn.CrossEntropyLoss(), CLASSES).higher_is_better == {"loss": False, "accuracy": True}


def test_a_loss_of_ones_own_says_its_weight() -> None:
    class Own(nn.Module):
        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            return (logits.square().sum(dim=1) * targets).sum() / targets.sum()

        def weight_of(self, targets: Tensor) -> Tensor:
            return targets.sum()

    logits, targets = torch.rand(10, 3), torch.tensor([0, 1, 2, 2, 1, 1, 0, 2, 1, 0])
    task = Classification(Own(), 3)
    scores = task.scores()
    for part, classes in zip(torch.split(logits, 4), torch.split(targets, 4), strict=True):
        scores.add(batch_of(classes), Own()(part, classes), part)
    assert scores.metrics()["loss"] == pytest.approx(Own()(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize("predicted", ["never", "once"])
def test_means_over_classes_leave_out_those_that_do_not_occur_as_scikit_learn_does(predicted: str) -> None:
    targets = torch.tensor([0, 1, 3] * 6)
    predictions = targets.clone()
    if predicted == "once":
        predictions[0] = 2
    scores = scores_of(10.0 * F.one_hot(predictions, 4), targets)
    found = scores.detailed(1)
    for name, function in {
        "precision": sklearn.metrics.precision_score,
        "recall": sklearn.metrics.recall_score,
        "f1": sklearn.metrics.f1_score,
    }.items():
        expected = function(targets, predictions, average="macro", zero_division=0)
        assert found[name] == pytest.approx(expected, rel=1e-6), name
    assert torch.isnan(scores.per_class()["recall"]).tolist() == [False, False, predicted == "never", False]
