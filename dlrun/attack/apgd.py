"""Auto-PGD: projected gradient descent that finds its own step sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.attack.ball import Ball, Norm, per_image
from dlrun.attack.gradient_attack import GradientAttack
from dlrun.attack.objective import Name
from dlrun.attack.victim import Victim

MOMENTUM = 0.75
RISES = 0.75
"""The share of steps that must raise the objective, lest the step size be halved."""


class APGD(GradientAttack):
    """Steps with momentum, each image's halved and taken back to its best point when they stall.

    Croce and Hein 2020, algorithm 1. The looks come after 22% of the steps, then at intervals that shrink by 3% to 6%.

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf`` or ``l2``.
        steps: gradient steps.
        restarts: from random images, for those that still stand.
        target: the class that the model shall see; None for any wrong one.
        loss: what to climb: ``cross_entropy``, ``margin``, or ``dlr`` (difference of logits ratio).

    Raises:
        ValueError: fewer than one step or restart.
    """

    def __init__(
        self,
        eps: float | list[float],
        norm: Norm = "linf",
        steps: int = 100,
        restarts: int = 1,
        target: int | None = None,
        loss: Name = "cross_entropy",
    ) -> None:
        super().__init__(eps, norm, target, loss)
        if steps < 1 or restarts < 1:
            raise ValueError(f"steps={steps}, restarts={restarts}: expected 1 or more of each")
        self.steps, self.restarts = steps, restarts

    def search(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> Tensor:
        """Restart after restart; with ``leave`` only those that stand, else the largest objective counts."""
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        highest = torch.full((len(images),), -torch.inf, device=images.device)
        for _ in range(self.restarts):
            climbed, stands, values = self._climb(victim, images[rows], targets[rows], leave)
            if leave:
                result[rows], rows = climbed, rows[stands]
                if not len(rows):
                    break
            else:
                result = torch.where(per_image(values > highest, images), climbed, result)
                highest = torch.maximum(highest, values)
        return result

    def looks(self) -> set[int]:
        """The steps after which step sizes are judged."""
        shares = [0.0, 0.22]
        while shares[-1] < 1:
            shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
        return {int(-(-share * self.steps // 1)) for share in shares[1:] if share <= 1}

    def _climb(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> tuple[Tensor, Tensor, Tensor]:
        """One climb; the best images, the rows of those that stand, and the objective of these."""
        ball, result = self.ball(images), images.clone()
        rows = torch.arange(len(images), device=images.device)
        now = before = best = ball.sample()
        best_value = torch.full((len(images),), -torch.inf, device=images.device)
        gradient = best_gradient = torch.zeros_like(images)
        size = per_image(torch.full_like(best_value, 2 * self.eps), images)
        value, rises, since = best_value, torch.zeros_like(best_value), 0
        halved, value_at_look = torch.ones_like(rises, dtype=torch.bool), best_value
        looks = self.looks()
        for step in range(self.steps + 1):
            logits, new_value, gradient = victim.gradient(now, lambda logits: self.objective(logits, targets))  # noqa: B023
            better = new_value > best_value
            fooled = self.fooled(logits, targets) & leave
            best = torch.where(per_image(better | fooled, now), now, best)
            if bool(fooled.any()):
                gone, kept = fooled.nonzero().flatten(), (~fooled).nonzero().flatten()
                result[rows[gone]] = best[gone]
                rows, now, before, best, gradient, best_gradient, size, targets = (
                    tensor[kept] for tensor in (rows, now, before, best, gradient, best_gradient, size, targets)
                )
                value, new_value, best_value, rises, halved, value_at_look, better = (
                    tensor[kept] for tensor in (value, new_value, best_value, rises, halved, value_at_look, better)
                )
                ball = ball.select(kept)
            if not len(rows):
                return result, rows, best_value
            best_gradient = torch.where(per_image(better, now), gradient, best_gradient)
            best_value = torch.maximum(best_value, new_value)
            if step:  # the first look has none before it to rise above
                rises, since = rises + (new_value > value), since + 1
            value = new_value
            if step in looks:
                stalled = (rises < RISES * since) | (~halved & (best_value <= value_at_look))
                size = torch.where(per_image(stalled, now), size / 2, size)
                now, gradient = (
                    torch.where(per_image(stalled, now), best, now),
                    torch.where(per_image(stalled, now), best_gradient, gradient),
                )
                halved, value_at_look, rises, since = stalled, best_value, torch.zeros_like(rises), 0
            if step < self.steps:
                now, before = self._step(ball, now, before, gradient, size, first=step == 0), now
        result[rows] = best
        return result, rows, best_value

    @staticmethod
    def _step(ball: Ball, now: Tensor, before: Tensor, gradient: Tensor, size: Tensor, first: bool) -> Tensor:
        """A projected step along the gradient, and from the second one on with momentum."""
        ahead = ball.ascend(now, gradient, size)
        if first:
            return ahead
        return ball.project_(now + MOMENTUM * (ahead - now) + (1 - MOMENTUM) * (now - before))
