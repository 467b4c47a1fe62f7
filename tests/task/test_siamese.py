"""Siamese training: loss and gradients against a plain loop over pairs, pairs by seed, the AUC against scikit-learn."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.loss.contrastive import Contrastive
from dlrun.task.siamese import Siamese, pairs
from dlrun.task.task import Clock
from tests.conftest import Dlrun, result

SMALL = (
    "task=siamese",
    "model=linear",
    "model.num_classes=4",
    "dataset.image_size=8",
    "optimizer=adam",
    "optimizer.lr=0.01",
    "trainer.epochs=2",
    "callback.tensorboard.graph=false",
)


def plain_loop(encoder: nn.Module, images: Tensor, targets: Tensor, margin: float) -> Tensor:
    """The paper's loss with an encoder that is used twice for every pair."""
    same, different = [], []
    for first, second in itertools.combinations(range(len(images)), 2):
        distance = (encoder(images[[first]]) - encoder(images[[second]])).norm()
        if targets[first] == targets[second]:
            same.append(distance**2)
        else:
            different.append(torch.clamp(margin - distance, min=0) ** 2)
    return (torch.stack(same).mean() + torch.stack(different).mean()) / 2


def test_loss_and_gradients_are_those_of_an_encoder_used_twice_for_each_pair() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 3))
    twin = copy.deepcopy(encoder)
    images, targets = torch.rand(8, 1, 3, 3), torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])
    found = Siamese(Contrastive(0.7), 3).loss(encoder, {"image": images, "target": targets}).loss
    wanted = plain_loop(twin, images, targets, 0.7)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.autograd.backward([found, wanted])
    for mine, other in zip(encoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_equal_embeddings_have_a_gradient_and_a_lonely_image_no_loss() -> None:
    embeddings = torch.zeros(3, 2, requires_grad=True)
    loss = Contrastive(1.0)(embeddings, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(0.5, abs=1e-5)
    loss.backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert Contrastive()(torch.ones(1, 2), torch.tensor([0])).item() == 0
    with pytest.raises(ValueError, match="margin=0"):
        Contrastive(0)


@pytest.mark.parametrize("same", [True, False])
def test_pairs_are_drawn_by_seed_and_reach_every_pair(same: bool) -> None:
    targets = torch.tensor([2, 0, 2, 1, 0, 2, 3])
    drawn = pairs(targets, 2000, same)
    assert torch.equal(drawn, pairs(targets, 2000, same))
    assert not torch.equal(drawn, pairs(targets, 2000, same, seed=1))
    everyone = {
        pair for pair in itertools.permutations(range(7), 2) if bool(targets[pair[0]] == targets[pair[1]]) == same
    }
    assert set(map(tuple, drawn.tolist())) == everyone
    assert len(pairs(torch.tensor([0, 1, 2]), 5, same=True)) == 0
    assert len(pairs(torch.tensor([1, 1]), 5, same=False)) == 0


def test_the_auc_is_scikit_learns_for_classes_seen_and_held_out() -> None:
    torch.manual_seed(0)
    task = Siamese(Contrastive(), 5, held_out=[3, 4])
    targets = torch.randint(0, 5, (60,))
    embeddings = torch.randn(60, 3) + 3 * nn.functional.one_hot(targets, 5)[:, :3]  # the last two differ in nothing
    scores = task.scores()
    for part, wanted in zip(torch.split(embeddings, 25), torch.split(targets, 25), strict=True):
        scores.add({"image": torch.zeros(len(part), 1), "target": wanted}, torch.tensor(0.5), part)
    metrics = scores.metrics()
    for name, held_out in (("auc", False), ("held_out_auc", True)):
        within, between = scores.distances(held_out)
        truth = [1] * len(within) + [0] * len(between)
        assert metrics[name] == pytest.approx(roc_auc_score(truth, -torch.cat([within, between])), abs=1e-4)
    assert metrics["auc"] > 0.6
    assert abs(metrics["held_out_auc"] - 0.5) < 0.1


def test_held_out_classes_are_not_trained_on_and_stay_in_an_evaluation() -> None:
    task = Siamese(Contrastive(), 4, held_out=[1, 3])
    batch = {"image": torch.arange(5.0)[:, None], "target": torch.tensor([0, 1, 2, 3, 0])}
    seen = task.prepare(nn.Identity(), batch, Clock(training=True))
    assert seen["image"].flatten().tolist() == [0.0, 2.0, 4.0]
    assert seen["target"].tolist() == [0, 2, 0]
    assert len(task.prepare(nn.Identity(), batch, Clock())["target"]) == 5


@pytest.mark.parametrize("held_out", [[1], [1, 4], [0, 1, 2]])
def test_held_out_classes_leave_pairs_on_both_sides(held_out: list[int]) -> None:
    with pytest.raises(UserError, match=r"task\.held_out="):
        Siamese(Contrastive(), 4, held_out=held_out)


def test_a_training_learns_pairs_and_is_evaluated(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "task.held_out=[7,8]", "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    found = result(Path("whole"))
    assert found["monitor"] == "val/auc"
    assert found["parameters"] == 64 * 4 + 4
    assert found["metrics"]["test/auc"] > 0.8
    assert Path("whole/figures/embedding.png").exists()
    ended = dlrun("evaluate", "run=whole", "hydra.run.dir=measured")
    assert ended.status == 0, ended.err
    again = result(Path("measured"))["metrics"]
    for name in ("test/auc", "test/held_out_auc"):
        assert again[name] == pytest.approx(found["metrics"][name], abs=1e-6)


def test_a_class_with_one_image_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", *SMALL, "dataset.per_class=2", "dataset.val_fraction=0.5")
    assert ended.status == 2
    assert ended.errors == [
        "dlrun: task=siamese: the class 0 has one image in the split train; a pair needs two, expected more images,"
        " or dataset.classes without it"
    ]
