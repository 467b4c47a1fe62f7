"""The base of all callbacks: what can be watched in a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


@dataclass(frozen=True)
class StepLog:
    """What happened since the last look at the steps.

    A look comes every ``trainer.log_every`` steps, at an epoch's end, and before a checkpoint is written.
    """

    losses: dict[int, float]
    """The training loss of every step since then, by step."""
    regular: bool
    """Not for a checkpoint, whose times differ from run to run."""
    learning_rate: float
    gradient_norm: float | None
    """Before clipping, in the last step; None where it was not measured."""
    images: int
    """Seen since then."""
    seconds: float
    """Since then, validation left out."""

    @property
    def images_per_second(self) -> float:
        """The speed of training."""
        return self.images / self.seconds


class Callback:
    """Watches a training; every hook does nothing unless overridden. No callback knows of another.

    The hooks come in this order::

        on_fit_start
            on_epoch_start
                on_step_end, and every few steps on_log
            on_epoch_end
        on_fit_end
        measure
        on_test_end
        close

    At an interruption, ``on_interrupt`` and then ``close`` end it. ``on_figure`` comes whenever something is drawn.
    """

    metric_names: Sequence[str] = ()
    """What :meth:`measure` gives, such as ``test/spread``."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After every optimizer step; ``trainer.step`` counts it already. In the hot loop: be quick."""

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """After every few steps, with what they gave; the losses in it are finite."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """After an epoch's training and validation; ``trainer.epoch`` counts it already.

        Args:
            trainer: the trainer.
            metrics: such as ``train/loss`` and ``val/accuracy``.
            improved: the validation is the best so far.
        """

    def on_interrupt(self, trainer: Trainer) -> None:
        """The run is about to stop between two steps, or in a validation; its state is whole."""

    def files(self, folder: Path) -> Sequence[Path]:
        """The files in the run's folder that this callback appends to, flushed.

        A checkpoint notes their lengths; a run that continues from it cuts them back, so nothing stands there twice.
        """
        return ()

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch."""

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Figures of its own of the model that is about to be tested, to stand beside the test's."""
        return {}

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """After the test of the best checkpoint; metrics such as ``test/accuracy``."""

    def on_figure(self, trainer: Trainer, name: str, figure: Figure, step: int) -> None:
        """A callback or the task has drawn something: keep it."""

    def close(self) -> None:
        """At the very end, also when the training failed."""
