"""The self-checks speak up about models that hide their gradients, and keep quiet about honest ones."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.checks import not_falling, signs_of_masking
from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.experiment.statistics import wilson
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
