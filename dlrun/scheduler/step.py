"""The step schedule."""

from __future__ import annotations

from dlrun.scheduler.schedule import Schedule


class Step(Schedule):
    """Multiply by ``gamma`` every so many epochs.

    Args:
        every: epochs between two steps.
        gamma: the factor.
        warmup_steps: steps of linear warm-up.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(self, every: int = 5, gamma: float = 0.1, warmup_steps: int = 0, warmup_epochs: int = 0) -> None:
        if every < 1:
            raise ValueError(f"every={every}: expected 1 epoch or more")
        super().__init__(warmup_steps, warmup_epochs)
        self.every = every
        self.gamma = gamma

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """``gamma`` to the power of the steps down so far."""
        factor: float = self.gamma ** (step // (self.every * steps_per_epoch))
        return factor
