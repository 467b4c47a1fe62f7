"""The course of a training as a picture, drawn at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback
from dlrun.record import csv_file
from dlrun.record.recorder import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlrun.dataset.data import Data
    from dlrun.figure.training import Curve
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


class Curves(Callback):
    """``figures/curves.png``: loss and metrics of training and validation over the epochs.

    It is drawn from ``metrics.csv``, so a run that was killed and went on has the same picture as one that was not.
    """

    def reads_network(self, data: Data) -> bool:
        """It does not."""
        return False

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Draw it."""
        found = by_quantity(csv_file.rows(trainer.folder / METRICS))
        if found:
            from dlrun.figure.training import training  # matplotlib takes a moment to import

            trainer.recorder.figure("curves", training(found, trainer.cursor.best_epoch), trainer.cursor.best_epoch)


def by_quantity(rows: Sequence[dict[str, csv_file.Cell]]) -> dict[str, dict[str, Curve]]:
    """The curves of ``metrics.csv`` by quantity and split, losses first; an epoch without a value has no point.

    Example:
        >>> by_quantity([{"epoch": 1, "train/loss": 0.5, "val/loss": None}])
        {'loss': {'train': [(1, 0.5)]}}
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        epoch = row["epoch"]
        for column, value in row.items():
            split, _, name = column.partition("/")
            if name and isinstance(epoch, int) and isinstance(value, (int, float)):
                found.setdefault(name, {}).setdefault(split, []).append((epoch, value))
    return {name: {**found[name]} for name in sorted(found, key=lambda name: "loss" not in name)}
