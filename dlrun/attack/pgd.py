"""Projected gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.attack.ball import Ball, Norm
from dlrun.attack.gradient_attack import GradientAttack
from dlrun.attack.objective import Name
from dlrun.attack.victim import Victim


class PGD(GradientAttack):
    """Steps along the sign of the gradient (L2: the gradient itself), each projected back (Madry et al. 2018).

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf`` or ``l2``.
        steps: gradient steps.
        step_size: in the units of eps; None takes 2.5 eps / steps.
        random_start: begin at a random image of the ball; else at the image itself.
        restarts: from other random images, for those that still stand.
        target: the class that the model shall see; None for any wrong one.
        loss: what to climb: ``cross_entropy``, ``margin``, or ``dlr`` (difference of logits ratio).

    Raises:
        ValueError: steps without length, a negative number, or restarts that would all be the same.
    """

    def __init__(
        self,
        eps: float | list[float],
        norm: Norm = "linf",
        steps: int = 40,
        step_size: float | None = None,
        random_start: bool = True,
        restarts: int = 1,
        target: int | None = None,
        loss: Name = "cross_entropy",
    ) -> None:
        super().__init__(eps, norm, target, loss)
        if steps < 0:
            raise ValueError(f"steps={steps}: expected 0 or more")
        if step_size is not None and (step_size < 0 or (step_size == 0 and steps > 0)):
            raise ValueError(f"step_size={step_size}: expected more than 0, or null, with steps={steps}")
        if restarts < 1 or (restarts > 1 and not random_start):
            raise ValueError(f"restarts={restarts}: expected 1, or more with random_start=true")
        self.steps, self.step_size, self.random_start, self.restarts = steps, step_size, random_start, restarts

    @property
    def size(self) -> float:
        """The length of a step."""
        return 2.5 * self.eps / max(self.steps, 1) if self.step_size is None else self.step_size

    def search(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> Tensor:
        """Restart after restart; with ``leave`` only those that stand, else the largest objective counts."""
        result = images.clone()
        if not leave and self.restarts > 1:
            best = torch.full((len(images),), -torch.inf, device=images.device)
            for _ in range(self.restarts):
                attacked, _ = self._ascend(victim, images, targets, leave)
                values = self.objective(victim.logits(attacked), targets)
                result[values > best] = attacked[values > best]
                best = torch.maximum(best, values)
            return result
        rows = torch.arange(len(images), device=images.device)
        for _ in range(self.restarts):
            result[rows], stands = self._ascend(victim, images[rows], targets[rows], leave)
            rows = rows[stands]
            if not len(rows):
                break
        return result

    def start(self, ball: Ball, leave: bool) -> Tensor:
        """A random image of each ball to begin with."""
        return ball.sample()

    def _ascend(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> tuple[Tensor, Tensor]:
        """One climb; the images it ends with and, with ``leave``, the rows of those that stand."""
        ball = self.ball(images)
        attacked = self.start(ball, leave) if self.random_start else images.clone()
        if not leave:
            for _ in range(self.steps):
                _, _, gradient = victim.gradient(attacked, lambda logits: self.objective(logits, targets))
                attacked = ball.ascend(attacked, gradient, self.size)
            return attacked, torch.empty(0, dtype=torch.int64, device=images.device)
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        for step in range(self.steps + 1):
            last = step == self.steps
            if last:
                logits = victim.logits(attacked)
            else:
                logits, _, gradient = victim.gradient(attacked, lambda logits: self.objective(logits, targets))  # noqa: B023
            fooled = self.fooled(logits, targets)
            gone, kept = fooled.nonzero().flatten(), (~fooled).nonzero().flatten()
            if len(gone):
                result[rows[gone]] = attacked[gone]
                rows, attacked, targets, ball = rows[kept], attacked[kept], targets[kept], ball.select(kept)
                if not len(rows):
                    return result, rows
                if not last:
                    gradient = gradient[kept]
            if not last:
                attacked = ball.ascend(attacked, gradient, self.size)
        result[rows] = attacked
        return result, rows
