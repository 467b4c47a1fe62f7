"""The constant schedule."""

from __future__ import annotations

from dlrun.scheduler.schedule import Schedule


class Constant(Schedule):
    """The optimizer's learning rate throughout."""

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """Always 1."""
        return 1.0
