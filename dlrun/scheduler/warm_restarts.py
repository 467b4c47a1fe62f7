"""The cosine schedule with warm restarts."""

from __future__ import annotations

import math

from dlrun.scheduler.schedule import Schedule


class WarmRestarts(Schedule):
    """Half a cosine down, then up at once and down again, each time longer (Loshchilov and Hutter 2016, SGDR).

    Args:
        first: epochs of the first way down.
        longer: how many times as long each one is as the one before, 1 or more.
        final: the end of each, as a share of the learning rate.
        warmup_steps: steps of linear warm-up.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(
        self, first: int = 10, longer: int = 2, final: float = 0.0, warmup_steps: int = 0, warmup_epochs: int = 0
    ) -> None:
        if first < 1 or longer < 1:
            raise ValueError(f"first={first}, longer={longer}: expected 1 or more of both")
        super().__init__(warmup_steps, warmup_epochs)
        self.first, self.longer, self.final = first, longer, final

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """From 1 to ``final``, again and again."""
        length = self.first * steps_per_epoch
        while step >= length:
            step, length = step - length, length * self.longer
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * step / length)) / 2
