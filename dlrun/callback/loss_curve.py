"""The training loss against the number of samples seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback, StepLog
from dlrun.record import curve_file as curve

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer

NAME = "loss"


class LossCurve(Callback):
    """``curves/loss.csv``: the mean training loss over each stretch of so many samples.

    Set ``trainer.log_every=1`` to see every step where a step is longer than a stretch.

    Args:
        every: samples in a stretch; the last of an epoch may be shorter.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self._seen, self._samples, self._sum = 0.0, 0.0, 0.0

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Count from here: a run that continues has seen samples already."""
        self._seen = float(trainer.progress.epoch * trainer.data.train.num_images + trainer.progress.examples)

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Take in the steps since the last look."""
        each = log.images / len(log.losses)
        points = []
        for loss in log.losses.values():
            self._seen, self._samples, self._sum = self._seen + each, self._samples + each, self._sum + loss * each
            if self._samples >= self.every or trainer.progress.step % trainer.steps_per_epoch == 0:
                points.append((self._seen, self._sum / self._samples))
                self._samples = self._sum = 0.0
        curve.append(curve.path(trainer.folder, NAME), ("samples seen", "training loss"), points)

    def files(self, folder: Path) -> list[Path]:
        """The one file."""
        return list((folder / curve.FOLDER).glob(f"{NAME}.csv"))
