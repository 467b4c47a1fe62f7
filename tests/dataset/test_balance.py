"""Weights for classes of unequal size: against scikit-learn, and by what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from dlrun.dataset.balance import balanced, chances, class_counts
from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import labelled
from dlrun.errors import UserError
from tests.conftest import QUICK, Dlrun, result

CPU = torch.device("cpu")
TARGETS = torch.tensor([0] * 90 + [1] * 9 + [2])


def loader(sampling: object, seed: int | None = 5) -> Loader:
    source = labelled(torch.zeros(100, 1, 1, 1), TARGETS)
    return Loader(source, 7, CPU, in_memory=True, workers=0, num_classes=3, seed=seed, sampling=sampling)  # type: ignore[arg-type]


def drawn(given: Loader, epoch: int) -> list[int]:
    return torch.cat(given.order(epoch)).tolist()


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS.numpy())
    torch.testing.assert_close(balanced(TARGETS.bincount()).double(), torch.from_numpy(expected), rtol=1e-6, atol=0)


def test_a_class_without_examples_weighs_one_and_leaves_the_others_theirs() -> None:
    assert balanced(torch.tensor([6, 0, 2])).tolist() == pytest.approx([8 / 12, 1, 2])


def test_counts_are_of_examples_or_of_pixels() -> None:
    masks: Batch = {"image": torch.zeros(1, 1, 2, 2), "mask": torch.tensor([[[0, 2], [2, 2]]])}
    assert class_counts([masks, masks], 4).tolist() == [2, 0, 6, 0]
    assert class_counts(loader(None).epoch(), 3).tolist() == [90, 9, 1]
    with pytest.raises(UserError, match="has no classes"):
        class_counts([{"point": torch.zeros(1, 2)}], 2)


def test_every_class_is_drawn_as_often() -> None:
    given = loader("balanced")
    counts = sum(TARGETS[drawn(given, epoch)].bincount(minlength=3) for epoch in range(30))
    assert isinstance(counts, torch.Tensor)
    # 3,000 draws, 1,000 expected of each with a deviation of 26.
    assert (counts - 1000).abs().max() < 4 * 26


def test_weights_say_what_is_drawn() -> None:
    assert chances(TARGETS, 3, [0, 1, 9]).tolist() == pytest.approx([0] * 90 + [1 / 18] * 9 + [0.5])
    assert set(TARGETS[drawn(loader([0.0, 1.0, 0.0]), 0)].tolist()) == {1}


def test_a_draw_follows_from_seed_and_epoch_and_leaves_evaluation_alone() -> None:
    given = loader("balanced")
    assert drawn(given, 3) == drawn(loader("balanced"), 3)
    assert drawn(given, 3) != drawn(given, 4)
    assert drawn(loader("balanced", seed=None), 0) == list(range(100))


@pytest.mark.parametrize("weights", [[1.0, 2.0], [0.0, 0.0, 0.0]])
def test_weights_that_draw_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match="expected a weight for each of 3 classes"):
        chances(TARGETS, 3, weights)


def test_a_training_weighs_its_loss_and_writes_down_how(dlrun: Dlrun) -> None:
    ended = dlrun("train", *QUICK, "loss.weight=balanced", "dataset.sampling=balanced", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    counts = torch.tensor([128, 131, 128, 131, 131, 131, 130, 129, 125, 130])
    lines = Path("run/config.yaml").read_text().split("loss:")[1].splitlines()
    assert [float(line.removeprefix("  - ")) for line in lines[3:13]] == pytest.approx(
        balanced(counts).tolist(), abs=1e-6
    )
    assert "test/nll" in result(Path("run"))["metrics"]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("loss.weight=even", "loss: weight=even: expected balanced, a list of a weight for each class, or null"),
        ("loss.weight=[1,-1]", "loss: weight=[1, -1]: expected a weight of 0 or more for each class, not all 0"),
        ("loss.label_smoothing=1", "loss: label_smoothing=1: expected a share, 0 to below 1"),
        (
            "dataset.sampling=even",
            "dataset.sampling=even: expected balanced, a list of a weight for each class, or null",
        ),
    ],
)
def test_other_words_are_refused(dlrun: Dlrun, override: str, complaint: str) -> None:
    ended = dlrun("train", *QUICK, override)
    assert (ended.status, len(ended.errors)) == (2, 1)
    assert complaint.split(": ", 1)[1] in ended.err
