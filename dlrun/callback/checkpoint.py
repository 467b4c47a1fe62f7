"""When a training is saved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class Checkpoint(Callback):
    """Asks for a checkpoint after every epoch and now and then within it.

    The trainer saves after all hooks. At the end of a training and at an interruption it does so unasked.

    Args:
        every_minutes: between two checkpoints within an epoch; None for none.
        every_steps: the same in optimizer steps.
        every_epoch: save after every epoch; False saves by minutes and steps alone, which suits epochs that are shorter
            than the writing of their checkpoint.
    """

    def __init__(
        self, every_minutes: float | None = 1.0, every_steps: int | None = None, every_epoch: bool = True
    ) -> None:
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"every_minutes={every_minutes}: expected more than 0, or null")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps={every_steps}: expected 1 or more, or null")
        self.every_minutes, self.every_steps, self.every_epoch = every_minutes, every_steps, every_epoch
        self._asked = time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        """Ask when it is time."""
        by_steps = self.every_steps is not None and trainer.cursor.step % self.every_steps == 0
        by_time = self.every_minutes is not None and time.monotonic() - self._asked >= 60 * self.every_minutes
        if by_steps or by_time:
            self._ask(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Ask after every epoch."""
        if self.every_epoch:
            self._ask(trainer)

    def _ask(self, trainer: Trainer) -> None:
        trainer.save_soon()
        self._asked = time.monotonic()
