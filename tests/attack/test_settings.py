"""Settings of attacks: what is refused, the ends of what is not, and what is handed on."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from dlrun.attack.apgd import APGD
from dlrun.attack.auto import Auto
from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from tests.attack.models import images, model


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_auto_hands_its_settings_to_its_members(norm: Any) -> None:
    auto = Auto([0.1, 0.2], norm, steps=7, queries=11, target=3)
    assert (auto.norm, auto.target, auto.eps) == (norm, 3, 0.2)
    first, second, *queried = auto.members
    assert isinstance(first, APGD)
    assert isinstance(second, APGD)
    assert [first.loss, second.loss] == ["cross_entropy", "dlr"]
    assert (first.steps, second.steps) == (7, 7)
    assert [type(each) for each in queried] == ([Square] if norm == "linf" else [])
    assert all(isinstance(each, Square) and each.limit == 11 for each in queried)
    assert all((each.norm, each.target, each.radii) == (norm, 3, auto.radii) for each in auto.members)


def test_the_budget_is_that_of_the_papers() -> None:
    first, second, queried = Auto(0.1).members
    assert isinstance(first, APGD)
    assert isinstance(second, APGD)
    assert isinstance(queried, Square)
    assert (first.steps, second.steps, queried.limit) == (100, 100, 5000)
    assert (APGD(0.1).steps, Square(0.1).limit) == (100, 5000)


def test_one_step_and_one_restart_are_the_least() -> None:
    assert (APGD(0.1, steps=1).steps, APGD(0.1, restarts=1).restarts) == (1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(-0.1), "eps=-0.1: expected 0 or more"),
        (lambda: FGSM(float("nan")), "eps=nan: expected 0 or more"),
        (lambda: FGSM([]), "eps=[]: expected 0 or more"),
        (lambda: FGSM([0.1, math.inf]), "eps=[0.1, inf]: expected 0 or more"),
        (lambda: PGD(0.1, target=-1), "target=-1: expected a class, 0 or more"),
        (lambda: PGD(0.1, steps=-1), "steps=-1: expected 0 or more"),
        (lambda: PGD(0.1, step_size=0.0), "step_size=0.0: expected more than 0, or null, with steps=40"),
        (lambda: PGD(0.1, steps=1, step_size=0.0), "step_size=0.0: expected more than 0, or null, with steps=1"),
        (lambda: PGD(0.1, step_size=-0.1), "step_size=-0.1: expected more than 0, or null, with steps=40"),
        (lambda: PGD(0.1, restarts=0), "restarts=0: expected 1, or more with random_start=true"),
        (lambda: PGD(0.1, restarts=2, random_start=False), "restarts=2: expected 1, or more with random_start=true"),
        (lambda: APGD(0.1, steps=0), "steps=0, restarts=1: expected 1 or more of each"),
        (lambda: APGD(0.1, restarts=0), "steps=100, restarts=0: expected 1 or more of each"),
        (lambda: Square(0.1, norm="l2"), "norm=l2: expected linf, which is all that square knows"),
        (lambda: Square(0.1, queries=0), "queries=0: expected 1 or more"),
        (lambda: Square(0.1, share=0.0), "share=0.0: expected a share above 0, at most 1"),
        (lambda: Square(0.1, share=1.5), "share=1.5: expected a share above 0, at most 1"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_settings_at_their_ends() -> None:
    assert (PGD(0.0, steps=0, step_size=0.0).size, PGD(0.4, steps=0).size, PGD(0.4, steps=4).size) == (0.0, 1.0, 0.25)
    assert (FGSM(0.4).size, FGSM(0.4, random_start=True).size, FGSM(0.4, step_size=0.3).size) == (0.4, 0.5, 0.3)
    assert (PGD(0.1, restarts=1, random_start=False).restarts, PGD(0.1, target=0).target) == (1, 0)
    chosen = FGSM(0.1, "l2", target=2, loss="margin")
    assert (chosen.norm, chosen.steps, chosen.restarts, chosen.target, chosen.loss) == ("l2", 1, 1, 2, "margin")
    assert (Square(0.1, queries=1).limit, Square(0.1, share=1.0).share) == (1, 1.0)
    used = FGSM([0.1, 0.3])
    used(model(), *images(4))
    assert (used.queries > 0, used.eps, used.at(0.1).eps, used.at(0.1).queries) == (True, 0.3, 0.1, 0)
