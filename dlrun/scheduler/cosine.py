"""The cosine schedule."""

from __future__ import annotations

import math

from dlrun.scheduler.schedule import Schedule


class Cosine(Schedule):
    """Half a cosine from the learning rate down (Loshchilov and Hutter 2016, SGDR, without restarts).

    Args:
        final: the end, as a share of the learning rate.
        warmup_steps: steps of linear warm-up.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(self, final: float = 0.0, warmup_steps: int = 0, warmup_epochs: int = 0) -> None:
        super().__init__(warmup_steps, warmup_epochs)
        self.final = final

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """From 1 to ``final``."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * step / total_steps)) / 2
