from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun import build, paths
from dlrun.loss.bce import BinaryCrossEntropy
from dlrun.loss.hinge import Hinge
from dlrun.loss.kl import KLDivergence
from dlrun.loss.mse import MeanSquaredError

CONFIGS = sorted(path.stem for path in (paths.configs() / "loss").glob("[a-z]*.yaml"))
CLASSES = 5


def make(name: str, **changes: float | list[int]) -> nn.Module:
    """The loss of a config file."""
    config = OmegaConf.create({"loss": OmegaConf.load(paths.configs() / "loss" / f"{name}.yaml")})
    config.loss.update(changes)
    loss = build.make(config.loss, "loss")
    assert isinstance(loss, nn.Module)
    return loss


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(40, CLASSES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def targets() -> Tensor:
    return torch.arange(40) % CLASSES


@pytest.fixture
def shares() -> Tensor:
    """Soft targets."""
    return torch.rand(40, CLASSES, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.mark.parametrize("margin", [1.0, 2.5])
def test_hinge_of_several_classes_matches_a_plain_loop(logits: Tensor, targets: Tensor, margin: float) -> None:
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        others = row[:target] + row[target + 1 :]
        total += max(0.0, margin - (row[target] - max(others)))
    assert Hinge(margin)(logits, targets).item() == pytest.approx(total / 40, rel=1e-6)


def test_hinge_of_several_classes_matches_scikit_learn(logits: Tensor, targets: Tensor) -> None:
    expected = sklearn.metrics.hinge_loss(targets.numpy(), logits.numpy(), labels=range(CLASSES))
    assert Hinge()(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_hinge_of_a_tie_is_the_margin() -> None:
    assert Hinge(1.5)(torch.full((2, 3), 7.0), torch.tensor([0, 2])).item() == 1.5


def test_hinge_of_one_output_is_that_of_a_support_vector_machine(logits: Tensor) -> None:
    outputs, targets = logits[:, :1], torch.arange(40) % 2
    signs = 2 * targets - 1
    expected = (1 - signs * outputs[:, 0]).clamp(min=0).mean().item()
    assert expected == pytest.approx(sklearn.metrics.hinge_loss(signs.numpy(), outputs[:, 0].numpy()), rel=1e-6)
    assert Hinge()(outputs, targets).item() == pytest.approx(expected, rel=1e-6)


def test_hinge_of_mixed_targets_weighs_every_class_by_its_share(logits: Tensor) -> None:
    mixed = torch.tensor([0.0, 0.3, 0.0, 0.7, 0.0]).expand(40, CLASSES)
    one, other = (Hinge()(logits, torch.full((40,), target)) for target in (1, 3))
    torch.testing.assert_close(Hinge()(logits, mixed), 0.3 * one + 0.7 * other)


def test_kl_is_cross_entropy_less_the_targets_entropy(logits: Tensor, shares: Tensor) -> None:
    entropy = -(shares * shares.log()).sum(dim=1).mean()
    torch.testing.assert_close(KLDivergence()(logits, shares), F.cross_entropy(logits, shares) - entropy)


def test_kl_of_class_indices_is_cross_entropy(logits: Tensor, targets: Tensor) -> None:
    torch.testing.assert_close(KLDivergence()(logits, targets), F.cross_entropy(logits, targets))


def test_kl_is_zero_for_the_targets_own_logits(shares: Tensor) -> None:
    assert KLDivergence()(shares.log() + 5, shares).item() == pytest.approx(0, abs=1e-6)


def test_bce_of_one_logit_is_the_log_of_the_sigmoid(logits: Tensor) -> None:
    targets = torch.arange(40) % 2
    probability = torch.sigmoid(logits[:, 0].double())
    expected = -torch.where(targets == 1, probability.log(), (1 - probability).log()).mean()
    assert BinaryCrossEntropy()(logits[:, :1], targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_bce_of_several_logits_is_the_mean_over_one_against_all(logits: Tensor, targets: Tensor) -> None:
    columns = [BinaryCrossEntropy()(logits[:, k : k + 1], (targets == k).long()) for k in range(CLASSES)]
    torch.testing.assert_close(BinaryCrossEntropy()(logits, targets), torch.stack(columns).mean())


def test_mse_compares_with_one_hot_vectors(logits: Tensor, targets: Tensor) -> None:
    expected = np.mean((logits.numpy() - np.eye(CLASSES)[targets.numpy()]) ** 2)
    assert MeanSquaredError()(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_mse_compares_images_element_by_element() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert MeanSquaredError()(images + 0.5, images).item() == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bce", 1000.0), ("cross_entropy", 2000.0), ("kl", 2000.0), ("hinge", 2001.0)],
)
def test_huge_wrong_logits_give_a_finite_loss_and_gradient(name: str, expected: float) -> None:
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    loss = make(name)(logits, torch.tensor([1, 0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == expected
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["bce", "cross_entropy", "kl", "hinge"])
def test_huge_right_logits_give_no_loss(name: str) -> None:
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]])
    assert make(name)(logits, torch.tensor([0, 1])).item() == 0


@pytest.mark.parametrize("name", sorted({*CONFIGS} - {"contrastive", "symmetric_contrastive"}))  # of embeddings
def test_one_hot_probabilities_equal_class_indices(name: str, logits: Tensor, targets: Tensor) -> None:
    loss = make(name)
    torch.testing.assert_close(loss(logits, F.one_hot(targets, CLASSES).float()), loss(logits, targets))


@pytest.mark.parametrize("name", ["bce", "hinge"])
def test_mixed_targets_of_two_classes_suit_a_single_logit(name: str, logits: Tensor) -> None:
    second = torch.rand(40, 1, generator=torch.Generator().manual_seed(2))
    loss = make(name)
    torch.testing.assert_close(loss(logits[:, :1], torch.cat([1 - second, second], 1)), loss(logits[:, :1], second))


def test_label_smoothing_shares_out_its_part_among_all_classes(logits: Tensor, targets: Tensor) -> None:
    smoothed = 0.9 * F.one_hot(targets, CLASSES) + 0.1 / CLASSES
    expected = -(smoothed * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(make("cross_entropy", label_smoothing=0.1)(logits, targets), expected)


def test_weights_of_classes_may_be_whole_numbers(logits: Tensor, targets: Tensor) -> None:
    given = [1, 0, 2, 3, 1]
    expected = F.cross_entropy(logits, targets, torch.tensor(given, dtype=torch.float32))
    torch.testing.assert_close(make("cross_entropy", weight=given)(logits, targets), expected)


def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes(targets: Tensor) -> None:
    assert make("cross_entropy")(torch.zeros(40, CLASSES), targets).item() == pytest.approx(math.log(CLASSES))


def test_the_margin_comes_from_the_config() -> None:
    assert make("hinge", margin=3.0)(torch.zeros(1, 4), torch.tensor([0])).item() == 3.0
