"""The fast gradient sign method."""

from __future__ import annotations

from torch import Tensor

from dlrun.attack.ball import Ball, Norm
from dlrun.attack.objective import Name
from dlrun.attack.pgd import PGD


class FGSM(PGD):
    """One step along the sign of the gradient (Goodfellow et al. 2015), from a random image on request.

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf`` or ``l2``.
        random_start: begin at a random image of the ball (Wong, Rice and Kolter 2020).
        step_size: in the units of eps; None takes eps, and 1.25 eps from a random start.
        target: the class that the model shall see; None for any wrong one.
        loss: what to climb: ``cross_entropy``, ``margin``, or ``dlr`` (difference of logits ratio).
    """

    def __init__(
        self,
        eps: float | list[float],
        norm: Norm = "linf",
        random_start: bool = False,
        step_size: float | None = None,
        target: int | None = None,
        loss: Name = "cross_entropy",
    ) -> None:
        super().__init__(eps, norm, 1, step_size, random_start, 1, target, loss)

    @property
    def size(self) -> float:
        """The length of the step."""
        return self.step_size if self.step_size is not None else self.eps * (1.25 if self.random_start else 1)

    def start(self, ball: Ball, leave: bool) -> Tensor:
        """In training the noise may leave the box until the step is done, as in the paper.

        Otherwise nearly every pixel would end at one of two values, and the model would learn these alone.
        """
        return ball.sample() if leave else ball.noisy()
