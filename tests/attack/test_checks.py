"""The self-checks speak up about models that hide their gradients, and keep quiet about honest ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.checks import Checked, _Checks, _Counts, _warnings, not_falling, signs_of_masking
from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.experiment.statistics import wilson
from dlrun.model.frozen import frozen
from dlrun.model.normalized import Normalized
from tests.attack.models import CLASSES, Rounded, Through, images, model


class Sawtooth(nn.Module):
    """Tiny waves that turn the gradient over again and again."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels + 0.004 * torch.sin(3000 * pixels)


PLANTED = {
    "rounded pixels": Through(model(), before=Rounded()),
    "huge logits": Through(model(), scale=1e4),
    "shattered": Through(model(), before=Sawtooth()),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_masked_model_is_flagged(name: str) -> None:
    torch.manual_seed(0)
    masked = PLANTED[name]
    pixels, _ = images(60)
    found = signs_of_masking(masked, PGD(0.02), pixels, masked(pixels).argmax(1)).warnings
    assert found[-1].startswith("signs of gradient masking")


def test_the_signs_have_their_names() -> None:
    torch.manual_seed(0)
    masked = PLANTED["rounded pixels"]
    pixels, _ = images(60)
    found = " ".join(signs_of_masking(masked, PGD(0.02), pixels, masked(pixels).argmax(1)).warnings)
    assert "vanishing gradients: exactly zero in every pixel for 100% of the images" in found
    assert "black-box attack is stronger than PGD" in found
    assert "eps=1 allows any image, and yet PGD leaves" in found


@pytest.mark.parametrize("attack", [PGD(0.02), FGSM(0.02), Square(0.02, queries=20), PGD(0.1, norm="l2")])
def test_an_honest_model_is_not(attack: PGD) -> None:
    torch.manual_seed(0)
    assert signs_of_masking(model(), attack, *images(60)).warnings == []


def test_a_pgd_that_hardly_moves_is_weaker_than_one_step() -> None:
    found = signs_of_masking(model(), PGD(0.02, step_size=1e-6, random_start=False), *images(60)).warnings
    assert found[0].startswith("PGD is weaker than FGSM")


def test_accuracy_must_fall_with_eps() -> None:
    assert not_falling([(0.0, 0.99), (0.2, 0.4), (0.1, 0.7)]) == []
    assert not_falling([(0.0, 0.99), (0.1, 0.4), (0.2, 0.4), (0.3, 0.408)]) == []  # within the noise
    assert not_falling([(0.0, 0.99), (0.1, 0.4), (0.2, 0.7), (0.3, 0.715)]) == [
        "accuracy rises from 0.4000 at eps=0.1 to 0.7000 at eps=0.2: a larger ball holds all images of the smaller"
        " one, so the attack failed there",
        "accuracy rises from 0.7000 at eps=0.2 to 0.7150 at eps=0.3: a larger ball holds all images of the smaller"
        " one, so the attack failed there",
    ]


def test_a_model_without_a_gradient_is_said_to_have_none() -> None:
    class Argmax(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return nn.functional.one_hot(model()(pixels).argmax(1), CLASSES).float()

    pixels, targets = images(10)
    assert signs_of_masking(Argmax(), PGD(0.02), pixels, targets) == Checked(
        ["no gradient reaches the image: only attacks without gradients can say anything about this model"], 10, 10
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("target", [None, 2])
def test_the_attacks_of_the_checks_are_after_the_same_in_the_same_ball(norm: Any, target: int | None) -> None:
    for steps, strong_steps in ((9, 20), (10, 10), (40, 40)):
        checks = _Checks(model(), PGD([0.1, 0.3, 0.2], norm, steps, target=target), known=False)
        assert isinstance(checks.strong, PGD)
        assert checks.strong.steps == strong_steps
        assert isinstance(checks.one_step, FGSM)
        assert (checks.black_box is None) == (norm == "l2")
        for each in filter(None, (checks.strong, checks.one_step, checks.black_box)):
            assert (each.eps, each.norm, each.target) == (0.3, norm, target)


def test_what_is_found_in_parts_adds_up() -> None:
    masked, (pixels, _) = PLANTED["rounded pixels"], images(60)
    pixels[:30] = (pixels[:30] * 16).round() / 16
    targets = masked(pixels).argmax(1)

    def found(*parts: slice) -> list[int]:
        checks, counts = _Checks(masked, PGD(0.05, step_size=1e-6), known=False), _Counts()
        with frozen(masked), torch.no_grad():
            for part in parts:
                torch.manual_seed(0)
                assert checks.run(counts, pixels[part], targets[part], None) == CLASSES
        return list(asdict(counts).values())

    first, second = found(slice(20)), found(slice(20, 60))
    assert min(first) > 0
    assert min(second) > 0
    assert found(slice(20), slice(20, 60)) == [one + other for one, other in zip(first, second, strict=True)]


def test_the_radius_that_allows_any_image_is_that_of_the_norm() -> None:
    for norm, radius in (("linf", 1.0), ("l2", 8.0)):
        assert _Checks(model(), PGD(0.1, norm=norm), known=False).whole(torch.zeros(1, 1, 8, 8)) == radius  # type: ignore[arg-type]


QUIET = {"examples": 100, "strong": 40, "one_step": 40, "unbounded": 25}


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        ({}, ""),
        ({"vanished": 5}, ""),
        ({"vanished": 6}, "vanishing gradients: exactly zero in every pixel for 6% of the images"),
        ({"examples": 20, "strong": 8, "one_step": 8, "unbounded": 5, "vanished": 1}, ""),  # one example is noise
        ({"examples": 20, "strong": 8, "one_step": 8, "unbounded": 5, "vanished": 2}, "vanishing gradients: exactly"),
        ({"strong": 42}, ""),
        ({"strong": 43}, "PGD is weaker than FGSM: accuracy 0.4300 against 0.4000 at eps=0.1"),
        ({"examples": 50, "strong": 41, "one_step": 40, "unbounded": 12}, ""),
        ({"examples": 50, "strong": 42, "one_step": 40, "unbounded": 12}, "PGD is weaker than FGSM: accuracy 0.8400"),
        ({"black_box": 2}, ""),
        ({"black_box": 3}, "a black-box attack is stronger than PGD: 50 queries fool 3 of the 40 images that resist"),
        ({"strong": 80, "one_step": 80, "black_box": 4}, ""),
        ({"strong": 80, "one_step": 80, "black_box": 5}, "a black-box attack is stronger than PGD: 50 queries fool 5"),
        ({"unbounded": 27}, ""),
        ({"unbounded": 28}, "eps=1 allows any image, and yet PGD leaves an accuracy of 0.2800"),
    ],
)
def test_each_sign_has_its_threshold(counts: dict[str, int], warned: str) -> None:
    checks = _Checks(model(), PGD(0.1), known=True)
    checks.anywhere = 1.0
    found = _warnings(_Counts(**(QUIET | counts)), checks, classes=4)
    assert len(found) == (2 if warned else 0)
    if warned:
        assert found[0].startswith(warned)
        assert found[1] == "signs of gradient masking: the robust accuracy above is not to be trusted; try attack=auto"


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (987, 1000), (50, 50)])
def test_the_interval_is_scipys(count: int, total: int) -> None:
    theirs = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


class Counted(nn.Module):
    """A model without convolutions, so that it always runs itself; counts the images that it has seen."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.seen = inside, 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        logits: Tensor = self.inside(pixels)
        return logits


def dense(scale: float) -> Counted:
    torch.manual_seed(0)
    return Counted(Through(nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)), scale=scale)).eval()


@pytest.mark.parametrize("attack", [PGD(0.02), FGSM(0.02), FGSM(0.3), APGD(0.02, restarts=2), Square(0.02), Auto(0.02)])
def test_the_checks_see_no_more_images_than_the_attack(attack: Attack) -> None:
    masked, (pixels, _) = dense(1e6), images(60)  # the worst case: gradients vanish, and nothing is fooled
    for victim in (masked, dense(1.0)):
        targets = victim(pixels).argmax(1)
        attacked = attack.at(attack.eps)
        resist = victim(attacked(victim, pixels, targets)).argmax(1) == targets
        victim.seen = 0
        checked = signs_of_masking(victim, attack, pixels, targets, resist, budget=attacked.queries)
        assert victim.seen == checked.queries <= attacked.queries
        assert 0 < checked.examples <= 60


def test_the_more_examples_the_sooner_the_model_gives_way() -> None:
    pixels, _ = images(60)
    counts = []
    for victim in (dense(1e6), dense(1.0)):
        targets = victim(pixels).argmax(1)
        checked = signs_of_masking(victim, PGD(0.2), pixels, targets, budget=1000)
        assert checked.queries <= 1000
        counts.append(checked.examples)
    assert 0 < 2 * counts[0] < counts[1]
    assert signs_of_masking(dense(1.0), PGD(0.2), pixels, targets).examples == 60  # no budget: all of them


def test_what_is_known_to_resist_is_not_attacked_again() -> None:
    pixels, _ = images(60)
    victim = dense(1.0)
    targets = victim(pixels).argmax(1)
    resist = victim(PGD(0.02)(victim, pixels, targets)).argmax(1) == targets
    known = signs_of_masking(victim, PGD(0.02), pixels, targets, resist)
    assert known.queries < signs_of_masking(victim, PGD(0.02), pixels, targets).queries
    lies = signs_of_masking(victim, PGD(0.02), pixels, targets, torch.ones(60, dtype=torch.bool))
    assert lies.warnings[0].startswith("PGD is weaker than FGSM: accuracy 1.0000 against ")
    # PGD stands in for one step, so what resists that says nothing about it:
    assert signs_of_masking(victim, FGSM(0.02), pixels, targets, torch.ones(60, dtype=torch.bool)).warnings == []


def test_no_budget_no_check() -> None:
    checked = signs_of_masking(PLANTED["rounded pixels"], PGD(0.02), *images(10), budget=5)
    assert (checked.warnings, checked.examples, checked.queries) == ([], 0, 0)


def test_what_needs_no_gradient_runs_the_fast_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain model runs for gradients alone, and for one image to compare."""
    victim, (pixels, targets) = model(), images(20)
    gradients, sizes = list[int](), list[int]()
    plain = Normalized.forward

    def counted(self: Normalized, pixels: Tensor) -> Tensor:
        if isinstance(pixels, Tensor):  # not when torch.fx follows it
            (gradients if torch.is_grad_enabled() else sizes).append(len(pixels))
        return plain(self, pixels)

    monkeypatch.setattr(Normalized, "forward", counted)
    found = signs_of_masking(victim, PGD(0.02), pixels, targets)
    assert found.examples == 20
    assert gradients
    assert sizes == [1]
    assert sum(gradients) < found.queries
