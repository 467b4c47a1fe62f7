"""When a training is saved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun import weights
from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.training.trainer import Trainer


class Checkpoint(Callback):
    """Asks for a checkpoint after every epoch and now and then within it.

    The trainer saves after all hooks. At the end of a training and at an interruption it does so unasked.

    Args:
        every_minutes: between two checkpoints within an epoch; None for none.
        every_steps: the same in optimizer steps.
        every_epoch: save after every epoch; False saves by minutes and steps alone, which suits epochs that are shorter
            than the writing of their checkpoint.
        keep: besides ``best.pt``, the weights of so many of the best epochs, as ``epoch_N.pt``; without validation
            data, of the newest.
    """

    def __init__(
        self,
        every_minutes: float | None = 1.0,
        every_steps: int | None = None,
        every_epoch: bool = True,
        keep: int = 0,
    ) -> None:
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"every_minutes={every_minutes}: expected more than 0, or null")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps={every_steps}: expected 1 or more, or null")
        if keep < 0:
            raise ValueError(f"keep={keep}: expected 0 or more")
        self.every_minutes, self.every_steps, self.every_epoch = every_minutes, every_steps, every_epoch
        self.keep = keep
        self._kept: dict[int, float] = {}  # how good each epoch is whose weights are there, greater is better
        self._asked = time.monotonic()

    def reads_network(self, data: Data) -> bool:
        """To keep the weights of epochs."""
        return self.keep > 0

    def on_step_end(self, trainer: Trainer) -> None:
        """Ask when it is time."""
        by_steps = self.every_steps is not None and trainer.cursor.step % self.every_steps == 0
        by_time = self.every_minutes is not None and time.monotonic() - self._asked >= 60 * self.every_minutes
        if by_steps or by_time:
            self._ask(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Keep the epoch if it is one of the best; ask."""
        if self.keep:
            self._rank(trainer, metrics)
        if self.every_epoch:
            self._ask(trainer)

    def _rank(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Write the weights of the epoch that has ended, and remove those that are no longer among the best."""
        cursor = trainer.cursor
        if len(trainer.data.val) and trainer.monitor not in metrics:
            return  # not validated
        value = metrics.get(trainer.monitor, float(cursor.epoch))
        down = trainer.monitor in metrics and not trainer.higher_is_better
        ranked = {**self._kept, cursor.epoch: -value if down else value}
        best = sorted(ranked, key=lambda epoch: (-ranked[epoch], epoch))[: self.keep]
        if cursor.epoch in best:
            state = {"model": trainer.eval_model.network.state_dict(), "epoch": cursor.epoch, "step": cursor.step}
            weights.save({**state, "metrics": metrics}, _file(trainer, cursor.epoch))
        for epoch in ranked.keys() - set(best):
            _file(trainer, epoch).unlink(missing_ok=True)
        self._kept = {epoch: ranked[epoch] for epoch in best}

    def _ask(self, trainer: Trainer) -> None:
        trainer.save_soon()
        self._asked = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Which epochs are kept."""
        return {"kept": dict(self._kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._kept = state["kept"]


def _file(trainer: Trainer, epoch: int) -> Path:
    return trainer.folder / "checkpoints" / f"epoch_{epoch}.pt"
