"""``checkpoints/last.pt`` and ``checkpoints/best.pt``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dlrun import checkpoint
from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.trainer import Trainer


class Checkpoint(Callback):
    """Saves the whole state after every epoch and now and then within it, and the weights of the best epoch.

    It comes last of the callbacks, so that what the others have written is part of the state.

    Args:
        every_minutes: between two checkpoints within an epoch; None for none.
        every_steps: the same in optimizer steps.
    """

    def __init__(self, every_minutes: float | None = 1.0, every_steps: int | None = None) -> None:
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"every_minutes={every_minutes}: expected more than 0, or null")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps={every_steps}: expected 1 or more, or null")
        self.every_minutes, self.every_steps = every_minutes, every_steps
        self._saved = time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        """Write ``last.pt`` when it is time."""
        by_steps = self.every_steps is not None and trainer.progress.step % self.every_steps == 0
        by_time = self.every_minutes is not None and time.monotonic() - self._saved >= 60 * self.every_minutes
        if by_steps or by_time:
            self._save(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Write ``best.pt``, when validation is the best so far, and ``last.pt``."""
        if improved:
            best = {"model": trainer.eval_model.network.state_dict(), "epoch": trainer.progress.epoch}
            checkpoint.save({**best, "metrics": metrics}, trainer.folder / "checkpoints" / "best.pt")
        self._save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        """Write ``last.pt``."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        last = trainer.folder / "checkpoints" / "last.pt"
        checkpoint.save(trainer.state(), last, keep=last.with_name("previous.pt"))
        self._saved = time.monotonic()
