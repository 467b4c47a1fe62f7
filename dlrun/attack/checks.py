"""Self-checks of an evaluation under attack: what would show that the attack failed, not that the model is robust.

The signs are those of Athalye et al. 2018 and Carlini et al. 2019 (On evaluating adversarial robustness).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.auto import Auto
from dlrun.attack.fgsm import FGSM
from dlrun.attack.objective import cross_entropy
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.attack.victim import Victim
from dlrun.errors import UserError
from dlrun.model.frozen import frozen

SLACK = 0.02
"""Differences of accuracy up to this are noise."""
MANY_STEPS = 10
VANISHED = 0.05
"""The share of images with a gradient of zero above which the gradient is no guide."""
QUERIES = 100
"""Of the black-box attack."""


def not_falling(curve: Sequence[tuple[float, float]]) -> list[str]:
    """A warning where accuracy rises with eps; ``curve`` holds pairs of eps and accuracy."""
    ordered = sorted(curve)
    return [
        f"accuracy rises from {low:.4f} at eps={small:.4g} to {high:.4f} at eps={large:.4g}: a larger ball holds all"
        " images of the smaller one, so the attack failed there"
        for (small, low), (large, high) in pairwise(ordered)
        if high > low + SLACK / 2
    ]


def signs_of_masking(model: nn.Module, attack: Attack, images: Tensor, targets: Tensor) -> list[str]:
    """Warnings in words, from a few more attacks on some images at the attack's largest eps.

    Args:
        model: as the attack takes it.
        attack: the one in use; where it is no iterative gradient attack, PGD-40 stands in for it.
        images: float (B, C, H, W) in [0,1].
        targets: their classes, int64 (B,).
    """
    eps = max(attack.radii)
    try:
        vanished = vanished_share(model, images, targets)
    except UserError:
        return ["no gradient reaches the image: only attacks without gradients can say anything about this model"]
    found = []
    if vanished > VANISHED:
        found.append(f"vanishing gradients: exactly zero in every pixel for {vanished:.0%} of the images")
    iterative = isinstance(attack, (APGD, Auto)) or (isinstance(attack, PGD) and attack.steps >= MANY_STEPS)
    strong = attack.at(eps) if iterative else PGD(eps, attack.norm, target=attack.target)
    name = type(strong).__name__

    def accuracy(images: Tensor, by: Attack) -> tuple[float, Tensor]:
        right = predictions(model, by(model, images, targets)) == targets
        return float(right.float().mean()), right

    standing, stands = accuracy(images, strong)
    one_step, _ = accuracy(images, FGSM(eps, attack.norm, target=attack.target))
    if standing > one_step + SLACK:
        found.append(f"{name} is weaker than FGSM: accuracy {standing:.4f} against {one_step:.4f} at eps={eps:.4g}")
    if attack.norm == "linf" and bool(stands.any()):
        black_box = Square(eps, queries=QUERIES, target=attack.target)
        left = images[stands]
        fooled = int((predictions(model, black_box(model, left, targets[stands])) != targets[stands]).sum())
        if fooled > max(SLACK * len(images), 0.05 * len(left)):
            found.append(
                f"a black-box attack is stronger than {name}: {QUERIES} queries fool {fooled} of the {len(left)} images"
                f" that resist it at eps={eps:.4g}"
            )
    if attack.target is None:
        whole = 1.0 if attack.norm == "linf" else math.sqrt(images[0].numel())
        unbounded, _ = accuracy(images, PGD(whole, attack.norm))
        chance = 1 / logits_of(model, images[:1]).shape[1]
        if unbounded > chance + SLACK:
            found.append(f"eps={whole:.4g} allows any image, and yet PGD leaves an accuracy of {unbounded:.4f}")
    if found:
        found.append("signs of gradient masking: the robust accuracy above is not to be trusted; try attack=auto")
    return found


def vanished_share(model: nn.Module, images: Tensor, targets: Tensor) -> float:
    """The share of images for which the gradient of the cross-entropy is exactly zero in every pixel."""
    with frozen(model):
        _, _, gradient = Victim(model).gradient(images, lambda logits: cross_entropy(logits, targets))
    return float((gradient.flatten(1) == 0).all(dim=1).float().mean())


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits in evaluation mode."""
    with frozen(model):
        return Victim(model).logits(images)


def predictions(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes in evaluation mode."""
    return torch.argmax(logits_of(model, images), dim=1)
