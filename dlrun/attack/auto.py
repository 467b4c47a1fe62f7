"""The worst case of several attacks."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.attack.apgd import APGD
from dlrun.attack.attack import Attack
from dlrun.attack.ball import Norm
from dlrun.attack.square import Square
from dlrun.attack.victim import Victim


class Auto(Attack):
    """Attacks without parameters to tune, one after the other, each on what the ones before could not fool.

    The order is that of the standard evaluation (AutoAttack, Croce and Hein 2020): auto-PGD on the cross-entropy, the
    same on the logits ratio, the square attack (on images, in L-infinity). AutoAttack's targeted ones (APGD-T, FAB-T)
    are not among them, so accuracies here may be a little above its own.

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf`` or ``l2``.
        steps: of each gradient attack.
        queries: of the square attack.
        target: the class that the model shall see; None for any wrong one.
    """

    def __init__(
        self,
        eps: float | list[float],
        norm: Norm = "linf",
        steps: int = 100,
        queries: int = 5000,
        target: int | None = None,
    ) -> None:
        super().__init__(eps, norm, target)
        self.members: list[Attack] = [
            APGD(eps, norm, steps, target=target, loss="cross_entropy"),
            APGD(eps, norm, steps, target=target, loss="dlr"),
        ]
        if norm == "linf":
            self.members.append(Square(eps, norm, queries, target=target))

    def search(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> Tensor:
        """All of them in turn, each on those that still stand, whether or not ``leave``."""
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        members = [member for member in self.members if images.ndim == 4 or not isinstance(member, Square)]
        for member in members:
            attacked = member.at(self.eps).search(victim, images[rows], targets[rows], leave=True)
            result[rows] = attacked
            rows = rows[~self.fooled(victim.logits(attacked), targets[rows])]
            if not len(rows):
                break
        return result
