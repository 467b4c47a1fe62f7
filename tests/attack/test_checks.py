"""The self-checks speak up about models that hide their gradients, and keep quiet about honest ones."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from dlrun.attack.checks import not_falling, signs_of_masking
from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.experiment.statistics import wilson
from tests.attack.models import Rounded, Through, images, model


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
    (found,) = not_falling([(0.0, 0.99), (0.1, 0.4), (0.2, 0.7)])
    assert "rises from 0.4000 at eps=0.1 to 0.7000 at eps=0.2" in found


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (987, 1000), (50, 50)])
def test_the_interval_is_scipys(count: int, total: int) -> None:
    theirs = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
