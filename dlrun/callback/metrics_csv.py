"""``metrics.csv``: one row for every epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback

FILE = "metrics.csv"

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class MetricsCsv(Callback):
    """Appends each epoch's metrics; an epoch without validation leaves its columns empty."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Write a row."""
        path = trainer.folder / FILE
        splits = ("train", "val") if len(trainer.data.val) else ("train",)
        names = [f"{split}/{name}" for split in splits for name in trainer.task.metric_names]
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["epoch", "step", "learning_rate", *names])
            if stream.tell() == 0:
                writer.writeheader()
            progress = trainer.progress
            rate = trainer.optimizer.param_groups[0]["lr"]
            row = {"epoch": progress.epoch, "step": progress.step, "learning_rate": rate}
            writer.writerow({**row, **metrics})

    def files(self, folder: Path) -> list[Path]:
        """The one file."""
        return list(folder.glob(FILE))
