"""What a training records of its steps and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlrun.callback.callback import StepLog
from dlrun.record.recorder import Recorder
from dlrun.training.cursor import Cursor
from dlrun.training.diverged import is_loss
from dlrun.training.step import Step


def record_steps(recorder: Recorder, log: StepLog, step: Step) -> None:
    """The loss of every step since the last look; what else there is, once for all of them."""
    for name in filter(is_loss, log.values):
        for number, value in enumerate(log.values[name], start=log.first):
            recorder.scalars({f"step/{name}": value}, number)
    shown = {"step/learning_rate": step.learning_rate, "step/images_per_second": log.images_per_second}
    if step.gradient_norm is not None:
        shown["step/gradient_norm"] = float(step.gradient_norm)
    recorder.scalars(shown, log.first + len(log.examples) - 1)


def record_epoch(
    recorder: Recorder, metrics: Mapping[str, float], cursor: Cursor, step: Step, names: Sequence[str]
) -> None:
    """The metrics of an epoch, by epoch, and its row of ``metrics.csv``; the columns are the names of train and val."""
    row = {"epoch": cursor.epoch, "step": cursor.step, "learning_rate": step.learning_rate}
    columns = [name for name in names if name.startswith(("train/", "val/"))]
    recorder.epoch({**row, **metrics}, [*row, *columns])
    recorder.scalars(dict(metrics), cursor.epoch)


def best_tag(monitor: str) -> str:
    """The tag of the best value so far of the monitored metric, such as ``best/val_accuracy``."""
    return "best/" + monitor.replace("/", "_")
