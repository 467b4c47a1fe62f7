"""The step schedule with chosen steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from dlrun.scheduler.schedule import Schedule


class MultiStep(Schedule):
    """Multiply by ``gamma`` after each of some epochs.

    Args:
        milestones: these epochs, rising.
        gamma: the factor.
        warmup_steps: steps of linear warm-up.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(
        self, milestones: Sequence[int], gamma: float = 0.1, warmup_steps: int = 0, warmup_epochs: int = 0
    ) -> None:
        if any(after <= before for before, after in pairwise([0, *milestones])):
            raise ValueError(f"milestones={[*milestones]}: expected rising numbers of epochs, 1 or more")
        super().__init__(warmup_steps, warmup_epochs)
        self.milestones, self.gamma = milestones, gamma

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """``gamma`` to the power of the milestones passed so far."""
        factor: float = self.gamma ** bisect_right(self.milestones, step // steps_per_epoch)
        return factor
