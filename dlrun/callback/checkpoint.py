"""``checkpoints/last.pt`` and ``checkpoints/best.pt``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from torch import nn

from dlrun import weights as checkpoint
from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class Checkpoint(Callback):
    """Saves the whole state after every epoch and now and then within it, and the weights of the best epoch.

    It comes last of the callbacks, so that what the others have written is part of the state.

    Args:
        every_minutes: between two checkpoints within an epoch; None for none.
        every_steps: the same in optimizer steps.
        every_epoch: save after every epoch; False saves by minutes and steps alone, and at the end, which suits epochs
            that are shorter than the writing of their checkpoint.
    """

    def __init__(
        self, every_minutes: float | None = 1.0, every_steps: int | None = None, every_epoch: bool = True
    ) -> None:
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"every_minutes={every_minutes}: expected more than 0, or null")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps={every_steps}: expected 1 or more, or null")
        self.every_minutes, self.every_steps, self.every_epoch = every_minutes, every_steps, every_epoch
        self._best: dict[str, Any] | None = None  # not yet written
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
            network = trainer.eval_model.network
            state = network.state_dict() if self.every_epoch else _copy(network)
            self._best = {"model": state, "epoch": trainer.progress.epoch, "metrics": metrics}
        if self.every_epoch:
            self._save(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write what has not been written."""
        if not self.every_epoch:
            self._save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        """Write ``last.pt``."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if self._best is not None:
            checkpoint.save(self._best, trainer.folder / "checkpoints" / "best.pt")
            self._best = None
        last = trainer.folder / "checkpoints" / "last.pt"
        checkpoint.save(trainer.state(), last, keep=last.with_name("previous.pt"))
        self._saved = time.monotonic()


def _copy(network: nn.Module) -> dict[str, Any]:
    """The state dict as it is now; what is frozen need not be copied."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: value if name in frozen else value.clone() for name, value in network.state_dict().items()}
