"""Sorting activations and constrained layers: what they promise, also after training steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dlrun.attack.pgd import PGD
from dlrun.certify.lipschitz import constant, radius
from dlrun.certify.step import steps
from dlrun.model.group_sort import GroupSort
from dlrun.model.lipschitz_cnn import LipschitzCNN
from dlrun.model.lipschitz_mlp import LipschitzMLP
from dlrun.model.normalized import Normalized


def trained(kind: str, norm: Any) -> nn.Sequential:
    """A network after some steps with large gradients."""
    torch.manual_seed(0)
    net: nn.Sequential = (
        LipschitzMLP(1, 8, 4, width=16, group=4, norm=norm)
        if kind == "mlp"
        else LipschitzCNN(1, 8, 4, widths=[4, 20], hidden=8, norm=norm)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    images = torch.rand(32, 1, 8, 8)
    targets = torch.arange(32) % 4
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.multi_margin_loss(net(images), targets, margin=2.0))
        optimizer.step()
    return net


@pytest.mark.parametrize("group", [1, 2, 4])
def test_sorting_permutes_within_groups(group: int) -> None:
    torch.manual_seed(0)
    for values in (torch.randn(5, 8), torch.randn(5, 8, 3, 2)):
        found = GroupSort(group)(values)
        assert found.shape == values.shape
        expected = values.reshape(5, 8 // group, group, -1)
        torch.testing.assert_close(found.reshape(expected.shape), expected.sort(dim=2).values, rtol=0, atol=0)


def test_minmax_of_a_value_and_zero_holds_its_relu() -> None:
    values = torch.tensor([[-2.0, 0.0, 3.0, 0.0]])
    assert GroupSort(2)(values).tolist() == [[-2.0, 0.0, 0.0, 3.0]]
    assert GroupSort(2)(values)[:, 1::2].tolist() == [[0.0, 3.0]]


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_constant_stays_one_whatever_the_optimizer_does(kind: str, norm: Any) -> None:
    net = trained(kind, norm)
    found = constant(steps(net.double()), norm)
    assert found <= 1 + 1e-6
    if norm == "l2":
        assert found == pytest.approx(1, abs=1e-5)
    first, second = torch.rand(2, 200, 1, 8, 8, dtype=torch.float64).unbind(0)
    size = 2 if norm == "l2" else torch.inf
    before = torch.linalg.vector_norm((first - second).flatten(1), size, dim=1)
    after = torch.linalg.vector_norm(net(first) - net(second), size, dim=1)
    assert bool((after <= before * (1 + 1e-6)).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_attack_reaches_the_class_within_the_certified_radius(norm: Any) -> None:
    model = Normalized(trained("mlp", norm), [0.3], [0.5]).eval()
    lipschitz = constant(steps(model), norm)
    assert lipschitz == pytest.approx(2, rel=0.01) or norm == "linf"
    images = torch.rand(60, 1, 8, 8)
    logits = model(images)
    targets = logits.argmax(1)
    certain = radius(logits, targets, lipschitz, norm)
    assert bool((certain >= 0).all())
    for eps in certain.quantile(torch.tensor([0.3, 0.6])).tolist():
        resists = model(PGD(eps, norm)(model, images, targets)).argmax(1) == targets
        assert bool(resists[certain > eps + 1e-6].all())
    assert bool((radius(logits, (targets + 1) % 4, lipschitz, norm) <= 0).all())


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width=9: expected a multiple of group=2"):
        LipschitzMLP(1, 8, 4, width=9)
    with pytest.raises(ValueError, match="halves an image 2 times"):
        LipschitzCNN(1, 10, 4, widths=[4, 4])
