"""The progress bar, and a line for every epoch, or for some of many."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from rich import progress as bars

from dlrun import console
from dlrun.callback.callback import Callback, StepLog

if TYPE_CHECKING:
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer

LINES = 20
"""Epochs that have a line each; of more, about so many have one."""
SECONDS = 10.0
"""An epoch that ends so long after the last line has one anyway."""
WIDE = 110
"""Columns of a terminal from which the bar shows all that it knows."""


class Progress(Callback):
    """On a terminal a bar with loss, metric, images per second and time left; everywhere lines for the epochs."""

    def __init__(self) -> None:
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            *columns(console.terminal.width),
            console=console.terminal,
            refresh_per_second=4,
            disable=not console.is_live(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, loss="", metric="", speed="")
        self._started = self._said = time.perf_counter()
        self._images, self._seconds = 0, 0.0

    def on_phase_start(self, trainer: Trainer) -> None:
        """Start the bar."""
        console.rest()
        self._bar.update(self._task, total=trainer.extent.last_step, completed=trainer.cursor.step)
        self._bar.start()

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Name the epoch."""
        self._started, self._images, self._seconds = time.perf_counter(), 0, 0.0
        self._bar.update(self._task, description=f"epoch {trainer.cursor.epoch + 1}/{trainer.extent.last_epoch}")

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Move the bar."""
        loss = log.losses[-1]
        self._bar.update(
            self._task,
            completed=trainer.cursor.step,
            loss=f"loss {loss:.4f}",
            speed=f"{log.images_per_second:,.0f} images/s",
        )
        self._images += sum(log.examples)
        self._seconds += log.seconds

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Print the epoch's line, and keep the metric that chooses the checkpoint beside the bar."""
        if trainer.monitor in metrics:
            self._bar.update(self._task, metric=f"{trainer.monitor} {metrics[trainer.monitor]:.4f}")
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
        self._bar.stop()
        first, *others = (f"{name} {value:.4f}" for name, value in metrics.items())
        console.row([f"best epoch {trainer.cursor.best_epoch}: {first}", *others])

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def columns(width: int) -> list[bars.ProgressColumn]:
    """What the bar shows on a terminal of so many columns, the epoch and what is to come of it left out."""
    left = bars.TimeRemainingColumn(elapsed_when_finished=True)
    loss, metric, speed = (bars.TextColumn(f"{{task.fields[{name}]}}") for name in ("loss", "metric", "speed"))
    if width < console.NARROW:
        return [bars.BarColumn(10), loss, left]
    if width < WIDE:
        return [bars.BarColumn(12), loss, metric, left]
    return [bars.BarColumn(), bars.MofNCompleteColumn(), loss, metric, speed, left]


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
