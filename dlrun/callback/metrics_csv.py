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
        row = {
            "epoch": trainer.progress.epoch,
            "step": trainer.progress.step,
            "learning_rate": self._rate,
            **metrics,
        }
        if path.exists():
            with path.open(newline="") as stream:
                columns = next(csv.reader(stream))
        else:
            expected = ["val/" + name.removeprefix("train/") for name in metrics if name.startswith("train/")]
            columns = list(dict.fromkeys([*row, *(expected if len(trainer.data.val) else [])]))
            with path.open("w", newline="") as stream:
                csv.writer(stream).writerow(columns)
        with path.open("a", newline="") as stream:
            csv.DictWriter(stream, columns, extrasaction="ignore").writerow(row)
