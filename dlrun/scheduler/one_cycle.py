"""The one-cycle schedule."""

from __future__ import annotations

import math

from dlrun.scheduler.schedule import Schedule


class OneCycle(Schedule):
    """Climb to the learning rate and anneal to almost nothing, both along a cosine (Smith and Topin 2017).

    Args:
        rise: share of the run that climbs.
        start: the start, as a share of the learning rate.
        final: the end, as a share of the learning rate.
        warmup_steps: steps of linear warm-up before the cycle.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(
        self,
        rise: float = 0.3,
        start: float = 0.04,
        final: float = 4e-6,
        warmup_steps: int = 0,
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__(warmup_steps, warmup_epochs)
        if not 0 < rise < 1:
            raise ValueError(f"rise={rise}: expected a share between 0 and 1")
        self.rise, self.start, self.final = rise, start, final

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """``start`` to 1 over the first part of the run, 1 to ``final`` over the rest."""
        last = max(total_steps - 1, 1)
        peak = self.rise * total_steps - 1
        if step <= peak:
            return _anneal(self.start, 1.0, step / peak if peak > 0 else 1.0)
        return _anneal(1.0, self.final, (step - peak) / (last - peak))


def _anneal(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2
