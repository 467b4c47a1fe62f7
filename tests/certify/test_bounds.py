"""Bounds against the exact optimum on tiny networks, sampling, and autograd."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from dlrun.certify.bounds import Bound, lower_margins, worst_logits
from dlrun.certify.interval import around
from dlrun.certify.step import Affine, steps
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.model.robust_cnn import RobustCNN

BOUNDS: tuple[Bound, ...] = ("interval", "linear", "polytope")


def tiny(seed: int, hidden: tuple[int, ...] = (5, 4)) -> nn.Sequential:
    """A dense network for images of 1x1x3 pixels, three classes, in double precision."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise((3, *hidden)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], 3)).double()


def exact_margin(net: nn.Sequential, image: Tensor, eps: float, target: int, other: int) -> float:
    """The least margin over the ball: a linear program for every pattern of ReLU signs."""
    dense = [layer for layer in net if isinstance(layer, nn.Linear)]
    box = around(image, eps)
    pixels = list(zip(box.lower.flatten().tolist(), box.upper.flatten().tolist(), strict=True))
    units = sum(layer.out_features for layer in dense[:-1])
    least = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=units):
        signs = iter(pattern)
        slope, shift = np.eye(3), np.zeros(3)
        rows, limits = [], []
        for layer in dense[:-1]:
            weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            slope, shift = weight @ slope, weight @ shift + bias
            active = np.array([next(signs) for _ in range(len(bias))])
            direction = 1 - 2 * active  # the unit's input is at least 0 where active, at most 0 where not
            rows.append(direction[:, None] * slope)
            limits.append(-direction * shift)
            slope, shift = active[:, None] * slope, active * shift
        last = dense[-1].weight.detach().numpy()
        difference = last[target] - last[other]
        ends = dense[-1].bias.tolist()
        constant = difference @ shift + ends[target] - ends[other]
        found = linprog(difference @ slope, np.concatenate(rows), np.concatenate(limits), bounds=pixels)
        if found.status == 0:
            least = min(least, found.fun + constant)
    return float(least)


@pytest.mark.parametrize(("seed", "eps"), [(0, 0.05), (1, 0.2), (2, 0.5), (3, 0.1)])
def test_bounds_hold_against_all_patterns_of_relu_signs(seed: int, eps: float) -> None:
    net = tiny(seed, (3, 3))
    torch.manual_seed(seed + 10)
    image = torch.rand(1, 1, 1, 3, dtype=torch.float64)
    target = int(net(image).argmax())
    net.requires_grad_(False)
    bounds = {bound: lower_margins(net, image, torch.tensor([target]), eps, bound)[0] for bound in BOUNDS}
    for other in {0, 1, 2} - {target}:
        exact = exact_margin(net, image, eps, target, other)
        for found in bounds.values():
            assert float(found[other]) <= exact + 1e-9
    assert float(bounds["polytope"][target]) == 0


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_are_exact_where_all_signs_are_certain(bound: Bound) -> None:
    net = tiny(0, (4,))
    hidden = next(layer for layer in net if isinstance(layer, nn.Linear))
    nn.init.constant_(hidden.bias, 10.0)  # every ReLU passes on: the network is linear
    image = torch.full((1, 1, 1, 3), 0.5, dtype=torch.float64)
    found = lower_margins(net, image, torch.tensor([1]), 0.1, bound)[0]
    exact = [exact_margin(net, image, 0.1, 1, other) if other != 1 else 0.0 for other in range(3)]
    expected = torch.tensor(exact, dtype=torch.float64)
    if bound == "interval":
        assert bool((found <= expected + 1e-9).all())
    else:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def all_layers() -> Normalized:
    """A network with every layer that is known, and running statistics that are not trivial."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.AvgPool2d(2, padding=1),
        nn.Conv2d(6, 8, 2, stride=(2, 1)),
        nn.BatchNorm2d(8, affine=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 7),
        nn.BatchNorm1d(7),
        nn.Identity(),
        nn.ReLU(),
        nn.Linear(7, 3),
    )
    model = Normalized(net, [0.4, 0.5], [0.2, 0.3])
    model.train()
    for _ in range(5):
        model(torch.rand(16, 2, 9, 10))
    return model.double().eval()


def test_the_chain_computes_what_the_network_does_and_adjoints_are_adjoint() -> None:
    model, values = all_layers(), torch.rand(3, 2, 9, 10, dtype=torch.float64)
    expected = model(values)
    for step in steps(model):
        if not isinstance(step, Affine):
            values = values.relu()
            continue
        after = step(values)
        coefficients = torch.randn_like(after)
        left = (coefficients * after).flatten(1).sum(1)
        right = (step.adjoint(coefficients, values.shape[1:]) * values).flatten(1).sum(1) + step.shift(coefficients)
        torch.testing.assert_close(left, right)
        # The operator norms bound what differences can do.
        other = torch.rand_like(values)
        change, moved = other - values, step(other) - after
        for norm, size in (("linf", torch.inf), ("l2", 2)):
            for before, behind in zip(change.flatten(1), moved.flatten(1), strict=True):
                most = step.norm(norm) * float(torch.linalg.vector_norm(before, size))
                assert float(torch.linalg.vector_norm(behind, size)) <= most * (1 + 1e-9)
        values = after
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("eps", [0.003, 0.03])
def test_no_sample_of_the_ball_is_beyond_the_bounds(bound: Bound, eps: float) -> None:
    model = all_layers()
    images = torch.rand(2, 2, 9, 10, dtype=torch.float64)
    targets = torch.tensor([0, 2])
    lower = lower_margins(model, images, targets, eps, bound)
    box = around(images, eps)
    for _ in range(100):
        share = torch.rand_like(images).round() if _ % 2 else torch.rand_like(images)
        logits = model(box.lower + share * (box.upper - box.lower))
        margins = logits.gather(1, targets.unsqueeze(1)) - logits
        assert bool((margins >= lower - 1e-9).all())


def test_bounds_of_radius_zero_are_the_logits() -> None:
    model, images, targets = all_layers(), torch.rand(2, 2, 9, 10, dtype=torch.float64), torch.tensor([0, 2])
    logits = model(images)
    expected = logits - logits.gather(1, targets.unsqueeze(1))
    for bound in BOUNDS:
        torch.testing.assert_close(worst_logits(model, images, targets, 0.0, bound), expected)


def test_the_polytope_is_far_tighter_than_intervals() -> None:
    torch.manual_seed(0)
    model = RobustCNN(1, 8, 10).double()
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    targets = model(images).argmax(1)
    wide, narrow = (-lower_margins(model, images, targets, 0.02, bound).amin(1) for bound in ("interval", "polytope"))
    assert bool((narrow < 0.5 * wide).all())


def test_one_output_is_a_logit_against_zero() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 1)).double()
    image = torch.full((1, 1, 1, 3), 0.5, dtype=torch.float64)
    weight = next(net.parameters())
    expected = -float(net(image)) - 0.1 * float(weight.abs().sum())
    found = lower_margins(net, image, torch.tensor([0]), 0.1, "polytope")
    torch.testing.assert_close(found[0, 1], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("bound", BOUNDS)
def test_gradients_of_bounds_are_those_of_finite_differences(bound: Bound) -> None:
    net = tiny(1)
    image, target = torch.full((1, 1, 1, 3), 0.5, dtype=torch.float64), torch.tensor([1])
    weight = net[1].weight
    assert isinstance(weight, Tensor)

    def value() -> Tensor:
        return worst_logits(net, image, target, 0.1, bound).sum()

    (gradient,) = torch.autograd.grad(value(), weight)
    with torch.no_grad():
        weight[2, 1] += 1e-6
        above = value()
        weight[2, 1] -= 2e-6
        below = value()
    assert float(gradient[2, 1]) == pytest.approx(float(above - below) / 2e-6, rel=1e-4, abs=1e-8)


class Other(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.MaxPool2d(2), "MaxPool2d"),
        (nn.Tanh(), "Tanh"),
        (Other(), "Other"),
        (nn.AvgPool2d(3, ceil_mode=True), "AvgPool2d"),
    ],
)
def test_other_layers_are_refused_by_name(layer: Any, name: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), layer))
    with pytest.raises(UserError, match=rf"certify cannot handle {name} \(1\.1\); it knows Linear, Conv2d"):
        steps(Normalized(net, None, None))
