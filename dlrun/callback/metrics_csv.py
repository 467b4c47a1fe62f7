"""``metrics.csv``: one row for every epoch."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback, StepLog

if TYPE_CHECKING:
    from dlrun.trainer import Trainer


class MetricsCsv(Callback):
    """Appends each epoch's metrics; an epoch without validation leaves its columns empty."""

    def __init__(self) -> None:
        self._rate = 0.0

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Keep the learning rate."""
        self._rate = log.learning_rate

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Write a row."""
        path = trainer.folder / "metrics.csv"
        splits = ("train", "val") if len(trainer.data.val) else ("train",)
        names = [f"{split}/{name}" for split in splits for name in trainer.task.metric_names]
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["epoch", "step", "learning_rate", *names])
            if stream.tell() == 0:
                writer.writeheader()
            progress = trainer.progress
            row = {"epoch": progress.epoch, "step": progress.step, "learning_rate": self._rate}
            writer.writerow({**row, **metrics})
