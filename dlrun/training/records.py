"""What a training records of its steps and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dlrun import console
from dlrun.callback.callback import StepLog
from dlrun.record.recorder import Recorder
from dlrun.training.cursor import Cursor
from dlrun.training.diverged import is_loss
from dlrun.training.step import Step

JUMP = 3.0
"""By how much the learning rate must rise from one step to the next to be worth a warning; a warm-up doubles it."""


def warn_of_jump(step: Step, factor: float, folder: Path) -> None:
    """Say it where the learning rate of a run that goes on rises at once, as its schedule now ends later.

    Args:
        step: of the optimizers, as its last step left it.
        factor: of the learning rates in the next one.
        folder: of the run.
    """
    rate, following = step.learning_rate, next(iter(step.rates.values()))[0] * factor
    if following > JUMP * rate:
        console.say(
            f"warning: the learning rate rises from {rate:.2g} to {following:.2g}, for its schedule now ends later;"
            f" to train on gently, begin a new run: weights={folder / 'checkpoints' / 'last.pt'} optimizer.lr=..."
        )


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
