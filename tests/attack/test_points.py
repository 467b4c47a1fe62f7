"""Attacks on points of a plane, against all that a grid over the ball has to offer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.ball import largest, length
from dlrun.attack.checks import signs_of_masking
from dlrun.attack.fgsm import FGSM
from dlrun.attack.objective import margin
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.errors import UserError

EPS = 0.1


def network() -> nn.Module:
    """A small MLP whose classes meet within the unit square."""
    torch.manual_seed(3)
    first, last = nn.Linear(2, 16), nn.Linear(16, 3)
    with torch.no_grad():
        first.weight.mul_(4)
        first.bias.copy_(-first.weight.sum(dim=1) / 2 + first.bias)
        last.bias.zero_()
    return nn.Sequential(first, nn.Tanh(), last).eval()


def points(count: int = 80) -> tuple[Tensor, Tensor]:
    """Points of the unit square, and the classes that the network gives them."""
    found = torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = network()(found)
    return found, logits.argmax(dim=1)


def worst_margins(centres: Tensor, targets: Tensor, norm: str) -> Tensor:
    """The largest margin over a grid of 81 x 81 points of each ball and box, (B,)."""
    steps = torch.linspace(-EPS, EPS, 81)
    grid = torch.cartesian_prod(steps, steps)
    grid = grid if norm == "linf" else grid[length(grid) <= EPS]
    around = (centres.unsqueeze(1) + grid).clamp(0, 1)
    with torch.no_grad():
        logits = network()(around.flatten(0, 1))
    return margin(logits, targets.repeat_interleave(len(grid))).view(len(centres), -1).amax(dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["pgd", "apgd", "auto"])
def test_an_attack_fools_where_a_point_of_the_grid_does(norm: Any, name: str) -> None:
    centres, targets = points()
    attacks: dict[str, Attack] = {
        "pgd": PGD(EPS, norm, restarts=5, loss="margin"),
        "apgd": APGD(EPS, norm, restarts=5, loss="margin"),
        "auto": Auto(EPS, norm),
    }
    torch.manual_seed(0)
    attacked = attacks[name](network(), centres, targets)
    change = attacked - centres
    assert attacked.shape == centres.shape
    assert float((largest(change) if norm == "linf" else length(change)).max()) <= EPS + 1e-6
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    fooled = network()(attacked).argmax(dim=1) != targets
    worst = worst_margins(centres, targets, norm)
    assert 10 < int((worst > 0).sum()) < 70
    assert torch.equal(fooled, worst > 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_margin_reached_is_that_of_the_grid(norm: Any) -> None:
    centres, targets = points()
    attacked = PGD(EPS, norm, loss="margin", restarts=3)(network(), centres, targets, leave=False)
    with torch.no_grad():
        reached = margin(network()(attacked), targets)
    torch.testing.assert_close(reached, worst_margins(centres, targets, norm), rtol=0, atol=0.02)


def test_one_step_is_fgsm() -> None:
    centres, targets = points()
    pixels = centres.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(network()(pixels), targets, reduction="sum"), pixels)
    attacked = FGSM(EPS)(network(), centres, targets, leave=False)
    torch.testing.assert_close(attacked, (centres + EPS * gradient.sign()).clamp(0, 1))


def test_squares_are_for_images() -> None:
    with pytest.raises(UserError, match=r"attack=square: takes images \(channels x .*\), not 2; try attack=apgd"):
        Square(EPS)(network(), *points())


def test_points_are_checked_without_the_black_box() -> None:
    checked = signs_of_masking(network(), PGD(EPS), *points())
    assert checked.warnings == []
    assert checked.examples == 80
