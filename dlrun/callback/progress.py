"""The progress bar, and a line for every epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import progress as bars

from dlrun import console
from dlrun.callback.callback import Callback, StepLog

if TYPE_CHECKING:
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


class Progress(Callback):
    """On a terminal a bar with loss, metric, images per second and time left; everywhere a line for every epoch."""

    def __init__(self) -> None:
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[loss]}"),
            bars.TextColumn("{task.fields[metric]}"),
            bars.TextColumn("{task.fields[speed]}"),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            console=console.terminal,
            refresh_per_second=4,
            disable=not console.terminal.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, loss="", metric="", speed="")
        self._started = time.perf_counter()
        self._images, self._seconds = 0, 0.0

    def on_phase_start(self, trainer: Trainer) -> None:
        """Start the bar."""
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
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        mark = "  *" if improved else ""
        speed = f"{self._images / max(self._seconds, 1e-9):,.0f} images/s"
        seconds = time.perf_counter() - self._started
        number = f"{trainer.cursor.epoch:>{len(str(trainer.extent.last_epoch))}}/{trainer.extent.last_epoch}"
        console.say(f"epoch {number}  {figures}  {speed}  {seconds:.1f} s{mark}")

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Take the bar away, and print the test's line."""
        self._bar.stop()
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        console.say(f"best epoch {trainer.cursor.best_epoch}: {figures}")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()
