"""The schedule that waits for a metric to stop getting better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dlrun.callback.callback import Callback
from dlrun.errors import UserError, suggest
from dlrun.scheduler.schedule import Schedule

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.training.trainer import Trainer


class Plateau(Schedule, Callback):
    """Multiply by ``gamma`` where so many validations brought nothing better, as torch's ``ReduceLROnPlateau`` does.

    It is the one schedule that depends on what was measured: it watches the training as a callback, whose state a
    checkpoint holds, so that a run that goes on has the same learning rates.

    Args:
        metric: such as ``val/loss``; None for that which chooses the best checkpoint.
        gamma: the factor, below 1.
        patience: validations without a better one that are waited through.
        threshold: the share by which a value must be better than the best to count as such.
        final: the least factor.
        warmup_steps: steps of linear warm-up.
        warmup_epochs: epochs of it, in addition.
    """

    def __init__(
        self,
        metric: str | None = None,
        gamma: float = 0.1,
        patience: int = 3,
        threshold: float = 1e-4,
        final: float = 0.0,
        warmup_steps: int = 0,
        warmup_epochs: int = 0,
    ) -> None:
        if not 0 < gamma < 1:
            raise ValueError(f"gamma={gamma}: expected a factor between 0 and 1")
        if patience < 0 or threshold < 0 or not 0 <= final <= 1:
            raise ValueError(
                f"patience={patience}, threshold={threshold}, final={final}: expected 0 or more, final up to 1"
            )
        super().__init__(warmup_steps, warmup_epochs)
        self.metric, self.gamma, self.patience = metric, gamma, patience
        self.threshold, self.final = threshold, final
        self._best: float | None = None
        self._waited, self._factor = 0, 1.0

    def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The factor so far."""
        return self._factor

    def reads_network(self, data: Data) -> bool:
        """It does not."""
        return False

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse a metric that the training does not have."""
        known = [f"{split}/{name}" for split in ("train", "val") for name in trainer.task.higher_is_better]
        if self.metric is not None and self.metric not in known:
            raise UserError(f"scheduler.metric={self.metric}: no such metric; {suggest(self.metric, known)}")

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Look at the metric; an epoch without a validation is none."""
        name = self.metric or trainer.monitor
        if (value := metrics.get(name)) is not None:
            self.look(value, trainer.task.higher_is_better[name.split("/")[1]])

    def look(self, value: float, higher_is_better: bool) -> None:
        """Take in a value of the metric."""
        margin = self.threshold if higher_is_better else -self.threshold
        wanted = None if self._best is None else self._best * (1 + margin)
        better = wanted is None or (value > wanted if higher_is_better else value < wanted)
        if better and math.isfinite(value):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            self._factor, self._waited = max(self._factor * self.gamma, self.final), 0

    def state_dict(self) -> dict[str, Any]:
        """The best value, how long it has been waited for a better one, and the factor."""
        return {"best": self._best, "waited": self._waited, "factor": self._factor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._best, self._waited, self._factor = state["best"], state["waited"], state["factor"]
