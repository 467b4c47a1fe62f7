"""``checkpoints/last.pt`` and ``checkpoints/best.pt``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dlrun import checkpoint
from dlrun.callback.callback import Callback

if TYPE_CHECKING:
    from dlrun.trainer import Trainer


class Checkpoint(Callback):
    """Saves the state after every epoch, and the weights of the best one; the state dict is under ``model``."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Write ``last.pt`` and, when validation is the best so far, ``best.pt``."""
        folder = trainer.folder / "checkpoints"
        if improved:
            best = {"model": trainer.eval_model.network.state_dict(), "epoch": trainer.progress.epoch}
            checkpoint.save({**best, "metrics": metrics}, folder / "best.pt")
        state = {
            "model": trainer.model.network.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "scaler": trainer.scaler.state_dict(),
            "ema": trainer.average.state_dict() if trainer.average is not None else None,
            "progress": asdict(trainer.progress),
        }
        checkpoint.save(state, folder / "last.pt")
