"""The base of all schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Schedule(ABC):
    """A learning rate as a pure function of the step: there is no state to save or to restore.

    Args:
        warmup_steps: steps of linear warm-up from 0.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(self, warmup_steps: int = 0, warmup_epochs: int = 0) -> None:
        self.warmup_steps = warmup_steps
        self.warmup_epochs = warmup_epochs

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """What the optimizer's learning rate is multiplied with in a step (counted from 0).

        After the warm-up the schedule runs over the steps that remain.
        """
        warmup = self.warmup_steps + self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return (step + 1) / (warmup + 1) * self.after_warmup(0, max(total_steps - warmup, 1), steps_per_epoch)
        return self.after_warmup(step - warmup, max(total_steps - warmup, 1), steps_per_epoch)

    @abstractmethod
    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The factor in a step of the part after the warm-up, of ``total_steps`` steps."""
