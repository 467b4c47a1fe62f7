"""The base of attacks that climb an objective along its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.attack.attack import Attack
from dlrun.attack.ball import Norm
from dlrun.attack.objective import OBJECTIVES, Name


class GradientAttack(Attack):
    """An attack on an objective.

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf`` or ``l2``.
        target: the class that the model shall see; None for any wrong one.
        loss: what to climb: ``cross_entropy``, ``margin``, or ``dlr`` (difference of logits ratio).
    """

    def __init__(
        self, eps: float | list[float], norm: Norm = "linf", target: int | None = None, loss: Name = "cross_entropy"
    ) -> None:
        super().__init__(eps, norm, target)
        self.loss = loss

    def objective(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What to climb, (B,): the loss, or with a target the negative loss of that class."""
        function = OBJECTIVES[self.loss]
        if self.target is None:
            return function(logits, targets)
        return -function(logits, torch.full(logits.shape[:1], self.target, device=logits.device))
