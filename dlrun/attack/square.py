"""The square attack: random search, with no look at a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlrun.attack.attack import Attack
from dlrun.attack.ball import Norm, per_image
from dlrun.attack.objective import OBJECTIVES
from dlrun.attack.victim import Victim
from dlrun.errors import UserError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The queries, of 10,000, after which the squares' area is halved."""


class Square(Attack):
    """Squares at random places, kept where they raise the margin loss (Andriushchenko et al. 2020), in L-infinity.

    Args:
        eps: the ball's radius, or several for a curve.
        norm: ``linf``.
        queries: looks at the model for each image.
        share: the first squares' share of the image's area.
        target: the class that the model shall see; None for any wrong one.

    Raises:
        ValueError: another norm, fewer than one query, or a share outside (0, 1].
    """

    def __init__(
        self,
        eps: float | list[float],
        norm: Norm = "linf",
        queries: int = 5000,
        share: float = 0.8,
        target: int | None = None,
    ) -> None:
        super().__init__(eps, norm, target)
        if norm != "linf":
            raise ValueError(f"norm={norm}: expected linf, which is all that square knows")
        if queries < 1:
            raise ValueError(f"queries={queries}: expected 1 or more")
        if not 0 < share <= 1:
            raise ValueError(f"share={share}: expected a share above 0, at most 1")
        self.limit, self.share = queries, share

    def search(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> Tensor:
        """Vertical stripes first, then squares.

        Raises:
            UserError: the inputs are not images.
        """
        if images.ndim != 4:
            found = "x".join(map(str, images.shape[1:]))
            raise UserError(f"attack=square: takes images (channels x height x width), not {found}; try attack=apgd")
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        ball = self.ball(images)
        stripes = torch.randint(0, 2, (*images.shape[:2], 1, images.shape[3]), device=images.device) * 2 - 1
        best = ball.project_(images + self.eps * stripes)
        values, fooled = self._judge(victim, best, targets)
        for query in range(1, self.limit + 1):
            if leave:
                gone, rest = fooled.nonzero().flatten(), (~fooled).nonzero().flatten()
                result[rows[gone]] = best[gone]
                rows, best, values, targets, ball = (
                    rows[rest],
                    best[rest],
                    values[rest],
                    targets[rest],
                    ball.select(rest),
                )
            if not len(rows) or query == self.limit:
                break
            tried = self._with_square(best, ball.centre, self._side(query, images.shape))
            tried_values, tried_fooled = self._judge(victim, ball.project_(tried), targets)
            better = (tried_values > values) | tried_fooled
            best = torch.where(per_image(better, best), tried, best)
            values, fooled = torch.where(better, tried_values, values), tried_fooled
        result[rows] = best
        return result

    def _judge(self, victim: Victim, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = victim.logits(images)
        goal = targets if self.target is None else torch.full_like(targets, self.target)
        values = OBJECTIVES["margin"](logits, goal)
        return values if self.target is None else -values, self.fooled(logits, targets)

    def _side(self, query: int, shape: torch.Size) -> int:
        """The side of a square in pixels."""
        halvings = sum(query / self.limit * 10_000 > after for after in HALVINGS)
        side = round(math.sqrt(self.share / 2**halvings * shape[-2] * shape[-1]))
        return max(1, min(side, shape[-2] - 1, shape[-1] - 1))

    def _with_square(self, images: Tensor, centre: Tensor, side: int) -> Tensor:
        """Images with a square of their own, in which every channel is the original's plus or minus eps."""
        count, channels, height, width = images.shape
        place = images.device
        top = torch.randint(0, height - side + 1, (count, 1, 1, 1), device=place)
        left = torch.randint(0, width - side + 1, (count, 1, 1, 1), device=place)
        row, column = torch.arange(height, device=place).view(-1, 1), torch.arange(width, device=place)
        inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
        sign = torch.randint(0, 2, (count, channels, 1, 1), device=place) * 2 - 1
        return torch.where(inside, centre + self.eps * sign, images)
