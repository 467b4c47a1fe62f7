"""Attacks against captum, torchattacks and a plain loop, and what all of them must keep to."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.ball import L2, LInf, largest, length
from dlrun.attack.fgsm import FGSM
from dlrun.attack.objective import dlr, margin
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.attack.victim import Victim
from dlrun.errors import UserError
from dlrun.model.frozen import frozen
from dlrun.model.inference import input_gradients
from tests.attack.models import CLASSES, images, model


def robust(by: Attack, seed: int = 0) -> float:
    pixels, targets = images(60)
    torch.manual_seed(seed)
    return float((model()(by(model(), pixels, targets)).argmax(1) == targets).float().mean())


def negative_log(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def test_fgsm_is_captums() -> None:
    captum: Any = pytest.importorskip("captum.robust")
    pixels, targets = images()
    theirs = captum.FGSM(model(), negative_log, lower_bound=0.0, upper_bound=1.0)
    theirs.zero_thresh = 0.0
    expected = theirs.perturb(pixels, epsilon=0.07, target=targets)
    torch.testing.assert_close(FGSM(0.07)(model(), pixels, targets, leave=False), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
def test_pgd_is_captums(targeted: bool) -> None:
    captum: Any = pytest.importorskip("captum.robust")
    pixels, targets = images()
    theirs = captum.PGD(model(), negative_log, lower_bound=0.0, upper_bound=1.0)
    theirs.fgsm.zero_thresh = 0.0
    goal = torch.full_like(targets, 2) if targeted else targets
    expected = theirs.perturb(pixels, radius=0.1, step_size=0.013, step_num=15, target=goal, targeted=targeted)
    ours = PGD(0.1, steps=15, step_size=0.013, random_start=False, target=2 if targeted else None)
    torch.testing.assert_close(ours(model(), pixels, targets, leave=False), expected, rtol=0, atol=1e-6)


def test_pgd_in_l2_is_that_of_torchattacks() -> None:
    theirs: Any = pytest.importorskip("torchattacks")
    pixels, targets = images()
    expected = theirs.PGDL2(model(), eps=0.5, alpha=0.1, steps=10, random_start=False)(pixels, targets)
    ours = PGD(0.5, norm="l2", steps=10, step_size=0.1, random_start=False)
    torch.testing.assert_close(ours(model(), pixels, targets, leave=False), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_is_a_plain_loop_from_the_same_random_start(norm: Any) -> None:
    pixels, targets = images()
    eps, size = (0.05, 0.01) if norm == "linf" else (0.5, 0.1)
    torch.manual_seed(1)
    ours = PGD(eps, norm, steps=8, step_size=size)(model(), pixels, targets, leave=False)
    torch.manual_seed(1)
    now = (LInf if norm == "linf" else L2)(pixels, eps).sample()
    for _ in range(8):
        now.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model()(now), targets, reduction="sum"), now)
        now = now.detach()
        if norm == "linf":
            now = torch.clamp(now + size * gradient.sign(), pixels - eps, pixels + eps).clamp(0, 1)
        else:
            change = now + size * gradient / length(gradient).view(-1, 1, 1, 1) - pixels
            now = (pixels + change * (eps / length(change)).clamp(max=1).view(-1, 1, 1, 1)).clamp(0, 1)
    torch.testing.assert_close(ours, now, rtol=0, atol=1e-6)


def test_in_training_fgsm_steps_from_noise_that_may_leave_the_box() -> None:
    pixels, targets = images()
    pixels = pixels.round()
    torch.manual_seed(1)
    ours = FGSM(0.1, random_start=True)(model(), pixels, targets, leave=False)
    torch.manual_seed(1)
    noise = torch.empty_like(pixels).uniform_(-0.1, 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model()(pixels + noise), targets, reduction="sum"), noise)
    change = (noise.detach() + 0.125 * gradient.sign()).clamp(-0.1, 0.1)
    torch.testing.assert_close(ours, (pixels + change).clamp(0, 1), rtol=0, atol=1e-6)


def test_images_that_leave_are_fooled_and_the_others_are_as_without_leaving() -> None:
    pixels, targets = images(60)
    attack = PGD(0.02, steps=10, random_start=False)
    left, whole = (attack(model(), pixels, targets, leave=leave) for leave in (True, False))
    resisted = model()(left).argmax(1) == targets
    assert 0 < resisted.sum() < 60
    torch.testing.assert_close(left[resisted], whole[resisted], rtol=0, atol=1e-6)
    assert attack.queries < 2 * 60 * 11 - 60  # fewer looks than twice all steps


NORMS = st.sampled_from(["linf", "l2"])


@settings(deadline=None, max_examples=40)
@given(NORMS, st.floats(0, 3), st.integers(0, 2**32 - 1), st.floats(0, 10))
def test_ball_and_box_are_never_left(norm: str, eps: float, seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(5, 2, 3, 3, generator=generator).round(decimals=1)  # some pixels are 0 or 1
    ball = LInf(centre, eps) if norm == "linf" else L2(centre, eps)
    gradient = torch.randn(centre.shape, generator=generator) * 10.0 ** np.random.default_rng(seed).integers(-8, 8)
    gradient[0] = 0
    for moved in (ball.sample(), ball.ascend(centre.clone(), gradient, size)):
        change = (moved - centre).double()
        assert float(length(change).max() if norm == "l2" else change.abs().max()) <= eps + 1e-6
        assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


ATTACKS = {
    "fgsm": FGSM(0.03),
    "fgsm_random": FGSM(0.03, random_start=True),
    "pgd": PGD(0.03, steps=10, restarts=2),
    "pgd_margin": PGD(0.03, steps=10, loss="margin"),
    "pgd_dlr": PGD(0.03, steps=10, loss="dlr"),
    "pgd_l2": PGD(0.15, norm="l2", steps=10),
    "pgd_target": PGD(0.03, steps=10, target=1),
    "apgd": APGD(0.03, steps=20, restarts=2),
    "apgd_l2": APGD(0.15, norm="l2", steps=20, loss="dlr"),
    "square": Square(0.03, queries=50),
    "auto": Auto(0.03, steps=10, queries=20),
    "auto_l2": Auto(0.15, norm="l2", steps=10),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_keeps_its_contract(name: str) -> None:
    attack = ATTACKS[name]
    pixels, targets = images(60)
    victim = model().train()
    conv, relu = list(victim.network.children())[:2]
    relu.eval()  # modes are restored one by one
    before, state = pixels.clone(), {key: value.clone() for key, value in victim.state_dict().items()}
    next(iter(victim.parameters())).requires_grad_(False)
    attacked = attack(victim, pixels, targets)
    assert torch.equal(pixels, before)
    assert all(torch.equal(value, state[key]) for key, value in victim.state_dict().items())
    assert [parameter.requires_grad for parameter in victim.parameters()] == [False, True, True, True]
    assert all(parameter.grad is None for parameter in victim.parameters())
    assert (victim.training, conv.training, relu.training) == (True, True, False)
    assert "forward" not in vars(conv)
    assert not attacked.requires_grad
    change = attacked - pixels
    size = length(change) if attack.norm == "l2" else change.abs().amax(dim=(1, 2, 3))
    assert float(size.max()) <= attack.eps + 1e-6
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 1
    # The untrained model gives way to all of them.
    assert float((model()(attacked).argmax(1) == targets).float().mean()) < 0.9
    assert torch.equal(attack.at(0.0)(victim, pixels, targets), pixels)


@pytest.mark.parametrize("name", ["pgd", "apgd", "square", "auto"])
def test_training_attacks_all_images_also_those_that_are_wrong(name: str) -> None:
    pixels, targets = images(20)
    wrong = (targets + 1) % CLASSES
    attacked = ATTACKS[name](model(), pixels, wrong, leave=False)
    assert bool((attacked != pixels).any(dim=(1, 2, 3)).all())
    assert torch.equal(ATTACKS[name](model(), pixels, wrong), pixels)


def test_within_inference_mode_too() -> None:
    pixels, targets = images()
    victim = model()
    with torch.inference_mode():
        inside = PGD(0.05, random_start=False)(victim, pixels * 1, targets * 1)
    assert torch.equal(inside, PGD(0.05, random_start=False)(model(), pixels, targets))


def test_the_strength_of_attacks_is_in_the_known_order() -> None:
    one, pgd, apgd = robust(FGSM(0.02)), robust(PGD(0.02)), robust(APGD(0.02))
    assert 1 > one >= pgd >= apgd > 0
    assert robust(Auto(0.02, queries=50)) <= apgd
    assert robust(PGD(0.02, steps=3, restarts=8)) <= robust(PGD(0.02, steps=3))
    assert 1 > robust(Square(0.02, queries=200)) >= apgd


def test_apgd_is_about_as_strong_as_that_of_torchattacks() -> None:
    theirs: Any = pytest.importorskip("torchattacks")
    pixels, targets = images(60)
    expected = theirs.APGD(model(), norm="Linf", eps=0.02, steps=50, seed=0)(pixels, targets)
    found = float((model()(expected).argmax(1) == targets).float().mean())
    assert robust(APGD(0.02, steps=50)) == pytest.approx(found, abs=0.034)  # two images


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_keeps_the_best_restart_also_in_training(norm: Any) -> None:
    pixels, targets = images(60)

    def climb(restarts: int) -> Tensor:
        torch.manual_seed(5)
        attack = APGD(0.02 if norm == "linf" else 0.1, norm, steps=4, restarts=restarts)
        with torch.no_grad():
            return negative_log(model()(attack(model(), pixels, targets, leave=False)), targets)

    values = [climb(restarts) for restarts in (1, 2, 3, 4)]
    for fewer, more in pairwise(values):
        assert bool((more >= fewer - 1e-5).all())
        assert bool((more > fewer + 1e-4).any())


def test_pgd_keeps_the_best_of_two_restarts_also_in_training() -> None:
    pixels, targets = images(40)
    by = PGD(0.05, steps=1, restarts=2)

    def values(attacked: Tensor) -> Tensor:
        return by.objective(model()(attacked).detach(), targets)

    torch.manual_seed(0)
    single = PGD(0.05, steps=1)
    first, second = (values(single(model(), pixels, targets, leave=False)) for _ in range(2))
    torch.manual_seed(0)
    found = values(by(model(), pixels, targets, leave=False))
    assert bool((first > second).any())
    assert bool((second > first).any())
    torch.testing.assert_close(found, torch.maximum(first, second))


def test_apgd_looks_at_its_steps_when_the_paper_says() -> None:
    assert sorted(APGD(0.1, steps=100).looks()) == [22, 41, 58, 70, 80, 87, 93, 99]


def test_auto_queries_images_and_nothing_else() -> None:
    """On a model that nothing fools, the square attack looks so often, and once more at what it leaves."""
    linear = nn.Linear(16, 2)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([1.0, 0.0]))
    constant = nn.Sequential(nn.Flatten(), linear)
    pixels, spent = torch.rand(3, 1, 4, 4), list[int]()
    for inputs in (pixels, pixels.flatten(1)):
        auto = Auto(0.1, steps=2, queries=5)
        auto(constant, inputs, torch.zeros(3, dtype=torch.int64))
        spent.append(auto.queries)
    assert spent == [3 * (1 + 2 * (2 + 1 + 1) + 5 + 1), 3 * (1 + 2 * (2 + 1 + 1))]


def test_the_largest_change_is_that_of_each_image() -> None:
    assert largest(torch.tensor([[[0.1, -0.5]], [[0.2, 0.0]]])).tolist() == pytest.approx([0.5, 0.2])


def test_noise_in_a_euclidean_ball_is_uniform_in_its_volume() -> None:
    """The share of a ball of d dimensions within t of its radius is t^d; in every direction alike."""
    torch.manual_seed(0)
    centre = torch.full((4000, 1, 1, 3), 0.5)
    change = L2(centre, 0.2).noisy() - centre
    radius = length(change) / 0.2
    assert float(radius.max()) <= 1 + 1e-5
    for share in (0.3, 0.6, 0.9):
        assert float((radius <= share).float().mean()) == pytest.approx(share**3, abs=0.03)
    assert float(change.mean(0).abs().max()) < 0.01


def test_noise_around_one_image_lies_in_its_ball() -> None:
    centre = torch.full((1, 1, 2, 2), 0.5)
    assert 0 < float(length(L2(centre, 0.2).noisy() - centre)) <= 0.2 + 1e-6


def test_a_targeted_attack_reaches_its_class() -> None:
    pixels, targets = images(60)
    seen = model()(PGD(0.1, target=3)(model(), pixels, targets)).argmax(1)
    others = targets != 3
    assert float((seen[others] == 3).float().mean()) > 0.9
    assert bool((seen[~others] == 3).all())


@pytest.mark.parametrize("target", [None, 3])
def test_images_that_are_wrong_or_at_their_target_stay_as_they_are(target: int | None) -> None:
    pixels, targets = images(60)
    targets[:10] = (targets[:10] + 1) % CLASSES
    by = PGD(0.1, target=target)
    changed = (by(model(), pixels, targets) != pixels).flatten(1).any(dim=1)
    wanted = torch.arange(60) >= 10
    assert torch.equal(changed, wanted if target is None else wanted & (targets != target))
    for idle, classes in ((PGD(0.0, target=target), targets), (PGD(0.1, target=target), (targets + 2) % CLASSES)):
        assert torch.equal(idle(model(), pixels[10:], classes[10:]), pixels[10:])
        assert idle.queries == 50  # one look at each


def test_one_output_stands_for_two_classes() -> None:
    torch.manual_seed(0)
    dense = nn.Linear(64, 1)
    net = nn.Sequential(nn.Flatten(), dense)
    pixels = torch.rand(20, 1, 8, 8)
    targets = (net(pixels)[:, 0] > 0).long()
    attacked = FGSM(0.05)(net, pixels, targets, leave=False)
    signs = dense.weight.sign().view(1, 1, 8, 8) * (1 - 2 * targets).view(-1, 1, 1, 1)
    torch.testing.assert_close(attacked, (pixels + 0.05 * signs).clamp(0, 1))  # what is best against a linear model


def test_objectives() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0, -3.0], [7.0, 0.0, 0.0, 0.0]])
    targets = torch.tensor([2, 0])
    assert margin(logits, targets).tolist() == [2.0, -7.0]
    torch.testing.assert_close(dlr(logits, targets), torch.tensor([2 / 3, -1.0]))
    torch.testing.assert_close(dlr(1000 * logits + 5, targets), torch.tensor([2 / 3, -1.0]))
    torch.testing.assert_close(dlr(logits[:, :3], targets), torch.tensor([2 / 3, -1.0]))
    assert dlr(logits[:, :2], torch.tensor([0, 0])).tolist() == [3.0, -7.0]


CONVOLUTIONS = [
    (1, 5, 1, 2, 28),
    (3, 3, 1, 1, 32),
    (2, 3, 1, 0, 7),
    (1, 4, 2, 1, 28),
    (3, 7, 2, 3, 16),
    (1, 3, 2, 0, 9),
]


@pytest.mark.parametrize(("channels", "kernel", "stride", "padding", "size"), CONVOLUTIONS)
def test_the_fast_gradient_of_images_is_autograds(
    channels: int, kernel: int, stride: int, padding: int, size: int
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 5, kernel, stride, padding), nn.Tanh(), nn.Flatten())
    pixels = torch.rand(3, channels, size, size)
    weights = torch.randn_like(net(pixels))
    slow = pixels.clone().requires_grad_()
    (expected,) = torch.autograd.grad((net(slow) * weights).sum(), slow)
    with frozen(net), input_gradients(net):
        assert type(net[0].forward).__name__ == "partial"
        _, _, found = Victim(net).gradient(pixels, lambda logits: (logits * weights).sum(1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_in_lower_precision_too() -> None:
    pixels, targets = images(60)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = PGD(0.05, steps=10)(model(), pixels, targets)
    assert attacked.dtype == torch.float32
    assert float((model()(attacked).argmax(1) == targets).float().mean()) < 0.3


class Blocked(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return F.one_hot(pixels.flatten(1)[:, :CLASSES].argmax(1), CLASSES).float()


def test_a_model_without_gradient_is_refused_and_yields_to_queries() -> None:
    pixels, _ = images()
    targets = Blocked()(pixels).argmax(1)
    with pytest.raises(UserError, match=r"model=Blocked: no gradient reaches the image .*expected .*attack=square"):
        PGD(0.1)(Blocked(), pixels, targets)
    attacked = Square(0.5, queries=50)(Blocked(), pixels, targets)
    assert float((Blocked()(attacked).argmax(1) == targets).float().mean()) < 0.3


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1])
def test_images_outside_the_box_are_refused(value: float) -> None:
    pixels, targets = images()
    pixels[3, 0, 2, 2] = value
    message = "dataset: an attack takes values in [0,1]; found NaN or values outside"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        FGSM(0.1)(model(), pixels, targets)


def test_a_target_outside_the_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"attack\.target=4: expected a class, 0 to 3"):
        PGD(0.1, target=4)(model(), *images())


warnings.filterwarnings("ignore", module="torchattacks")
