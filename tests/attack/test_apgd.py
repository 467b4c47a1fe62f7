"""APGD against its algorithm written as a plain loop, and how often attacks look at the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.ball import L2, LInf
from dlrun.attack.checks import _looks
from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.attack.victim import Victim
from tests.attack.models import images, model


def look(now: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The objective of every image, and its gradient."""
    now = now.clone().requires_grad_()
    values = F.cross_entropy(model()(now), targets, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), now)
    return values.detach(), gradient


def project(images: Tensor, centre: Tensor, norm: str, eps: float) -> Tensor:
    if norm == "linf":
        return torch.clamp(images, centre - eps, centre + eps).clamp(0, 1)
    change = images - centre
    shorter = min(1.0, eps / float(change.norm()))
    return (centre + change * shorter).clamp(0, 1)


def plain(start: Tensor, centre: Tensor, targets: Tensor, norm: str, eps: float, steps: int, looks: set[int]) -> Tensor:
    """Algorithm 1 of Croce and Hein 2020, image by image."""
    count = len(start)
    now, before = list(start), list(start)
    best: list[tuple[float, Tensor, Tensor]] = [(-float("inf"), start[0], start[0])] * count
    heights: list[list[float]] = [[] for _ in range(count)]
    size, halved, at_look, since = [2 * eps] * count, [True] * count, [-float("inf")] * count, 0
    for step in range(steps + 1):
        values, gradients = look(torch.stack(now), targets)
        for row in range(count):
            value, gradient = float(values[row]), gradients[row]
            heights[row].append(value)
            if value > best[row][0]:
                best[row] = (value, now[row], gradient)
            if step in looks:
                rises = sum(heights[row][at + 1] > heights[row][at] for at in range(since, step))
                stalled = rises < 0.75 * (step - since) or (not halved[row] and best[row][0] <= at_look[row])
                if stalled:
                    size[row] /= 2
                    now[row], gradient = best[row][1:]
                halved[row], at_look[row] = stalled, best[row][0]
            if step < steps:
                direction = gradient.sign() if norm == "linf" else gradient / gradient.norm()
                ahead = project(now[row] + size[row] * direction, centre[row], norm, eps)
                if step:
                    moved = now[row] + 0.75 * (ahead - now[row]) + 0.25 * (now[row] - before[row])
                    ahead = project(moved, centre[row], norm, eps)
                before[row], now[row] = now[row], ahead
        since = step if step in looks else since
    return torch.stack([image for _, image, _ in best])


@pytest.mark.parametrize("steps", [10, 36])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.5)])
def test_apgd_is_its_algorithm(norm: Any, eps: float, steps: int) -> None:
    pixels, targets = images(12)
    attack = APGD(eps, norm, steps=steps)
    torch.manual_seed(3)
    ours = attack(model(), pixels, targets, leave=False)
    torch.manual_seed(3)
    start = (LInf if norm == "linf" else L2)(pixels, eps).sample()
    expected = plain(start, pixels, targets, norm, eps, steps, attack.looks())
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    assert bool((look(ours, targets)[0] > look(start, targets)[0]).all())


@pytest.mark.parametrize(
    ("attack", "looks"),
    [
        (FGSM(0.02), 1),
        (PGD(0.02, steps=7), 7),
        (APGD(0.02, steps=7), 7 + 1),  # the last step is looked at too
        (APGD(0.02, steps=7, restarts=3), 3 * (7 + 1)),
        (Square(0.02, queries=9), 9),
        (Square(0.02, queries=1), 1),
    ],
    ids=lambda value: type(value).__name__.lower() if isinstance(value, Attack) else str(value),
)
def test_looks_at_the_model_for_each_image(attack: Attack, looks: int) -> None:
    pixels, targets = images(10)
    victim = Victim(model())
    attack.eps = 0.02
    attack.search(victim, pixels, targets, leave=False)
    assert victim.queries == 10 * looks
    if isinstance(attack, (APGD, Square)):  # what the self-checks reckon with
        assert _looks(attack) == looks


def test_the_self_checks_reckon_with_each_member_of_auto_and_a_look_between() -> None:
    assert _looks(Auto(0.02, steps=7, queries=9)) == 2 * (7 + 1 + 1) + 9 + 1


def test_the_first_square_may_be_the_whole_image() -> None:
    assert Square(0.02, share=1.0)._side(1, torch.Size((1, 1, 8, 8))) == 7  # less than the image, so that it can move


@pytest.mark.parametrize(
    ("limit", "query", "side"),
    [
        *((10_000, 1, 25), (10_000, 10, 25), (10_000, 11, 18), (10_000, 51, 13), (10_000, 201, 9), (10_000, 501, 6)),
        *((10_000, 1001, 4), (10_000, 2001, 3), (10_000, 4001, 2), (10_000, 8001, 1), (100, 1, 13), (100, 6, 6)),
    ],
)
def test_the_area_of_squares_is_halved_as_the_paper_says(limit: int, query: int, side: int) -> None:
    """Rounded roots of 0.8 * 28 * 28, halved after 10, 50, 200, 500, 1,000, ... of 10,000 queries."""
    assert Square(0.1, queries=limit)._side(query, torch.Size((1, 1, 28, 28))) == side


def test_the_search_begins_with_vertical_stripes() -> None:
    torch.manual_seed(0)
    pixels = torch.full((6, 1, 8, 8), 0.5)
    found = Square(0.125, queries=1).search(Victim(model()), pixels, torch.zeros(6, dtype=torch.int64), leave=False)
    assert set(found.flatten().tolist()) == {0.375, 0.625}
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert len({tuple(row) for row in found[:, 0, 0].tolist()}) == 6  # images have stripes of their own


def test_a_square_is_anywhere_in_the_image_and_of_one_colour() -> None:
    torch.manual_seed(0)
    images, centre = torch.zeros(2000, 2, 5, 7), torch.full((2000, 2, 5, 7), 0.5)
    found = Square(0.125)._with_square(images, centre, 3)
    inside = found != 0
    assert torch.equal(inside[:, 0], inside[:, 1])
    rows, columns = inside[:, 0].any(dim=2), inside[:, 0].any(dim=1)
    assert torch.equal(inside[:, 0], rows.unsqueeze(2) & columns.unsqueeze(1))
    tops, lefts = rows.int().argmax(dim=1), columns.int().argmax(dim=1)
    for found_there, first in ((rows, tops.unsqueeze(1)), (columns, lefts.unsqueeze(1))):
        places = torch.arange(found_there.shape[1])
        assert torch.equal(found_there, (places >= first) & (places < first + 3))
    assert {(int(top), int(left)) for top, left in zip(tops, lefts, strict=True)} == {
        (top, left) for top in range(3) for left in range(5)
    }
    colours = found.amax(dim=(2, 3))
    assert set(colours.flatten().tolist()) == {0.375, 0.625}
    assert torch.equal(found, colours.view(2000, 2, 1, 1) * inside)


def test_square_judges_by_the_margin_of_its_target_or_of_any_wrong_class() -> None:
    pixels, targets = images(10)
    victim = Victim(model())
    logits = victim.logits(pixels)
    for target, sign in ((None, 1), (2, -1)):
        values, fooled = Square(0.02, target=target)._judge(victim, pixels, targets)
        goal = targets if target is None else torch.full_like(targets, target)
        others = logits.scatter(1, goal.view(-1, 1), -torch.inf).amax(dim=1)
        torch.testing.assert_close(values, sign * (others - logits.gather(1, goal.view(-1, 1)).flatten()))
        assert torch.equal(fooled, logits.argmax(1) != targets if target is None else logits.argmax(1) == target)
