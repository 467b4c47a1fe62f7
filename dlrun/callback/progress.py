"""The progress bar, and a line for every epoch, or for some of many."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from dlrun import console
from dlrun.callback.callback import Callback, StepLog
from dlrun.callback.pace import LONG, Pace, advice
from dlrun.dataset.batch import inputs
from dlrun.run.bars import Curve, Row

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer

LINES = 20
"""Epochs that have a line each; of more, about so many have one."""
SECONDS = 10.0
"""An epoch that ends so long after the last line has one anyway."""


class Progress(Callback):
    """On a terminal a bar with time left, loss, metric and best so far; everywhere lines for the epochs."""

    def __init__(self) -> None:
        self._row: Row | None = None
        self._loss = self._best = self._speed = ""
        self._losses = Curve()
        self._values = Curve()  # of the metric that chooses the checkpoint
        self._started = self._said = time.perf_counter()
        self._images, self._seconds = 0, 0.0
        self._pace: Pace | None = None

    def reads_network(self, data: Data) -> bool:
        """It does not."""
        return False

    def on_phase_start(self, trainer: Trainer) -> None:
        """Start the bar."""
        self.close()
        console.rest()
        last, step = trainer.extent.last_step, trainer.cursor.step
        self._row = console.draw(Row("", last, self._notes, done=step))
        if self._pace is None or self._pace.is_open:
            self._pace = Pace(last)

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Name the epoch."""
        self._started, self._images, self._seconds = time.perf_counter(), 0, 0.0
        if self._row is not None:
            self._row.what = f"epoch {trainer.cursor.epoch + 1}/{trainer.extent.last_epoch}"

    def on_step_end(self, trainer: Trainer) -> None:
        """Say once that a training will take long."""
        pace = self._pace
        if pace is None or not pace.is_open:
            return
        seconds = pace.left(trainer.cursor.step, time.perf_counter())
        if seconds is not None and seconds >= LONG:
            epochs = 0 if trainer.options.steps else trainer.extent.last_epoch
            example = inputs(trainer.data.train.examples(torch.tensor([0])))
            console.say(advice(seconds, pace.last, epochs, example.shape[-1] if example.ndim == 4 else None))

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Move the bar."""
        self._images += sum(log.examples)
        self._seconds += log.seconds
        if self._row is None:
            return
        self._row.done = trainer.cursor.step
        self._losses.add(log.losses)
        self._loss, self._speed = f"loss {log.losses[-1]:.4f}", f"{log.images_per_second:,.0f} images/s"

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Print the epoch's line."""
        best = trainer.cursor.best
        if trainer.monitor in metrics and best is not None:
            self._values.add([metrics[trainer.monitor]])
            self._best = f"{trainer.monitor.partition('/')[2]} {best:.4f}"
        now, epoch, last = time.perf_counter(), trainer.cursor.epoch, trainer.extent.last_epoch
        if not (has_line(epoch, last) or trainer.cursor.stopped or now - self._said >= SECONDS):
            return
        self._said = now
        head, speed = (
            f"epoch {epoch:>{len(str(last))}}/{last}",
            f"{self._images / max(self._seconds, 1e-9):,.0f} images/s",
        )
        end = [f"{now - self._started:.1f} s", *(["*"] if improved else [])]
        figures = [f"{name} {value:.4f}" for name, value in metrics.items()]
        console.row([head, *figures, speed, *end], [head, *short(metrics), *end])

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Take the bar away, and print the test's line."""
        self.close()
        first, *others = (f"{name} {value:.4f}" for name, value in metrics.items())
        console.row([f"best epoch {trainer.cursor.best_epoch}: {first}", *others])

    def _notes(self) -> list[list[str]]:
        """The loss, the best so far and the speed, as far as they are known."""
        loss, best, speed = self._loss, self._best, self._speed
        return [
            [f"{loss} {self._losses}".strip(), loss] if loss else [],
            [f"best {best} {self._values}".strip(), f"best {best.rpartition(' ')[2]}"] if best else [],
            [speed] if speed else [],
        ]

    def close(self) -> None:
        """Take the bar away."""
        if self._row is not None:
            console.clear(self._row)
            self._row = None


def has_line(epoch: int, last: int) -> bool:
    """Whether an epoch has a line of its own: all of few; of many the first, the last and some between.

    Example:
        >>> [epoch for epoch in range(1, 201) if has_line(epoch, 200)][:4]
        [1, 10, 20, 30]
    """
    return epoch in (1, last) or epoch % math.ceil(last / LINES) == 0


def short(metrics: dict[str, float]) -> list[str]:
    """The figures of an epoch in fewer words.

    Example:
        >>> short({"train/loss": 0.5, "train/accuracy": 0.75, "val/loss": 0.625})
        ['loss 0.5000 (val 0.6250)', 'accuracy 0.7500']
    """
    made = []
    for name in dict.fromkeys(key.partition("/")[2] for key in metrics):
        train, val = metrics.get(f"train/{name}"), metrics.get(f"val/{name}")
        if train is None:
            made.append(f"val {name} {val:.4f}")
        else:
            made.append(f"{name} {train:.4f}" + ("" if val is None else f" (val {val:.4f})"))
    return made
