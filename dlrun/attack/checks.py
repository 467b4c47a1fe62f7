"""Self-checks of an evaluation under attack: what would show that the attack failed, not that the model is robust.

The signs are those of Athalye et al. 2018 and Carlini et al. 2019 (On evaluating adversarial robustness).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from dlrun.model.inference import inference

SLACK = 0.02
"""Differences of accuracy up to this are noise, and so is a single example."""
MANY_STEPS = 10
VANISHED = 0.05
"""The share of examples with a gradient of zero above which the gradient is no guide."""
QUERIES = 50
"""Of the black-box attack."""
STEPS = 20
"""Of PGD on any image, and where it stands in for an attack that is not iterative."""


@dataclass
class Checked:
    """What the self-checks found."""

    warnings: list[str]
    examples: int
    """How many they looked at: as many as the budget allowed."""
    queries: int
    """Images that the model saw for it."""


@dataclass
class _Counts:
    """Over the examples so far: those without a gradient, those that resist each attack, those of the black box."""

    examples: int = 0
    vanished: int = 0
    strong: int = 0
    one_step: int = 0
    black_box: int = 0
    unbounded: int = 0


def not_falling(curve: Sequence[tuple[float, float]]) -> list[str]:
    """A warning where accuracy rises with eps; ``curve`` holds pairs of eps and accuracy."""
    ordered = sorted(curve)
    return [
        f"accuracy rises from {low:.4f} at eps={small:.4g} to {high:.4f} at eps={large:.4g}: a larger ball holds all"
        " images of the smaller one, so the attack failed there"
        for (small, low), (large, high) in pairwise(ordered)
        if high > low + SLACK / 2
    ]


def signs_of_masking(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    targets: Tensor,
    resist: Tensor | None = None,
    budget: float = math.inf,
) -> Checked:
    """Warnings in words, from a few more attacks on some images at the attack's largest eps.

    The images are taken from the first on, in parts that cannot exceed what is left of the budget: how many that is
    depends on how soon the model gives way.

    Args:
        model: as the attack takes it.
        attack: the one in use; where it is no iterative gradient attack, PGD-20 stands in for it.
        images: float (B, C, H, W) in [0,1], or other inputs (B, ...).
        targets: their classes, int64 (B,).
        resist: which of them the attack could not fool at its largest eps, bool (B,), where that is known.
        budget: images that the model may see, at most.
    """
    checks = _Checks(model, attack, resist is not None)
    counts, classes = _Counts(), 0
    with frozen(model), torch.no_grad(), inference(model):
        while counts.examples < len(images):
            size = min(len(images) - counts.examples, (budget - checks.queries) // checks.cost)
            if size < 1:
                break
            part = slice(counts.examples, counts.examples + int(size))
            try:
                classes = checks.run(counts, images[part], targets[part], None if resist is None else resist[part])
            except UserError:
                text = "no gradient reaches the image: only attacks without gradients can say anything about this model"
                return Checked([text], int(size), checks.queries)
    return Checked(_warnings(counts, checks, classes) if counts.examples else [], counts.examples, checks.queries)


class _Checks:
    """The attacks of the self-checks, and what they cost.

    Args:
        model: frozen.
        attack: the one in use.
        known: whether it is known which images resist it.
    """

    def __init__(self, model: nn.Module, attack: Attack, known: bool) -> None:
        self.model, self.attack, self.queries = model, attack, 0
        self.eps = max(attack.radii)
        iterative = isinstance(attack, (APGD, Auto)) or (isinstance(attack, PGD) and attack.steps >= MANY_STEPS)
        self.strong = attack.at(self.eps) if iterative else PGD(self.eps, attack.norm, STEPS, target=attack.target)
        self.known = known and iterative
        self.name = type(self.strong).__name__
        self.one_step = FGSM(self.eps, attack.norm, target=attack.target)
        self.black_box = Square(self.eps, queries=QUERIES, target=attack.target) if attack.norm == "linf" else None

    @property
    def cost(self) -> int:
        """The most looks at one image: the gradient, then of each attack the first look, its own, and the last one."""
        looks = 1 + (2 + 2) + (0 if self.known else 2 + _looks(self.strong))
        looks += 2 + QUERIES if self.black_box else 0
        return looks + (2 + STEPS + 1 if self.attack.target is None else 0)

    def run(self, counts: _Counts, images: Tensor, targets: Tensor, resist: Tensor | None) -> int:
        """Count what the attacks find on some images; the number of classes.

        Raises:
            UserError: no gradient reaches the images.
        """
        victim = Victim(self.model)
        try:
            logits, _, gradient = victim.gradient(images, lambda logits: cross_entropy(logits, targets))
        finally:
            self.queries += victim.queries
        counts.examples += len(images)
        counts.vanished += int((gradient.flatten(1) == 0).all(dim=1).sum())
        stands = resist if self.known and resist is not None else self._resist(self.strong, images, targets)
        counts.strong += int(stands.sum())
        counts.one_step += int(self._resist(self.one_step, images, targets).sum())
        if self.black_box is not None and images.ndim == 4 and bool(stands.any()):
            left = self._resist(self.black_box, images[stands], targets[stands])
            counts.black_box += int((~left).sum())
        if self.attack.target is None:
            anywhere = PGD(self.whole(images), self.attack.norm, STEPS)
            counts.unbounded += int(self._resist(anywhere, images, targets).sum())
            self.anywhere = anywhere.eps
        return logits.shape[1]

    def whole(self, images: Tensor) -> float:
        """The radius that allows any image."""
        return 1.0 if self.attack.norm == "linf" else math.sqrt(images[0].numel())

    def _resist(self, attack: Attack, images: Tensor, targets: Tensor) -> Tensor:
        """Which images the model gets right under an attack, bool (B,)."""
        attack.queries = 0
        right = predictions(self.model, attack(self.model, images, targets)) == targets
        self.queries += attack.queries + len(images)
        return right


def _looks(attack: Attack) -> int:
    """The most looks at one image within a search."""
    if isinstance(attack, Auto):
        return sum(_looks(member) + 1 for member in attack.members)
    if isinstance(attack, (PGD, APGD)):
        return attack.restarts * (attack.steps + 1)
    return attack.limit if isinstance(attack, Square) else 0


def _warnings(counts: _Counts, checks: _Checks, classes: int) -> list[str]:
    """What the counts say."""
    total, name, eps, found = counts.examples, checks.name, checks.eps, list[str]()
    slack = max(SLACK, 1.5 / total)  # more than one example
    vanished, strong, one_step = counts.vanished / total, counts.strong / total, counts.one_step / total
    if vanished > max(VANISHED, 1.5 / total):
        found.append(f"vanishing gradients: exactly zero in every pixel for {vanished:.0%} of the images")
    if strong > one_step + slack:
        found.append(f"{name} is weaker than FGSM: accuracy {strong:.4f} against {one_step:.4f} at eps={eps:.4g}")
    if counts.black_box > max(slack * total, 0.05 * counts.strong):
        found.append(
            f"a black-box attack is stronger than {name}: {QUERIES} queries fool {counts.black_box} of the"
            f" {counts.strong} images that resist it at eps={eps:.4g}"
        )
    unbounded = counts.unbounded / total
    if checks.attack.target is None and unbounded > 1 / classes + slack:
        found.append(f"eps={checks.anywhere:.4g} allows any image, and yet PGD leaves an accuracy of {unbounded:.4f}")
    if found:
        found.append("signs of gradient masking: the robust accuracy above is not to be trusted; try attack=auto")
    return found


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits in evaluation mode."""
    with frozen(model), inference(model):
        return Victim(model).logits(images)


def predictions(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes in evaluation mode."""
    return torch.argmax(logits_of(model, images), dim=1)
