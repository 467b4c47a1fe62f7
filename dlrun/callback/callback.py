"""The base of all callbacks: what can be watched in a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


@dataclass(frozen=True)
class StepLog:
    """What happened since the last look at the steps; it comes every ``trainer.log_every`` steps and at an epoch's end.

    Args:
        first: the number of the first of these steps, from 1.
        values: by metric, its value in each of the steps, such as ``loss``.
        examples: in each of the steps.
        weights: how much the loss of each of the steps counts in a mean over them: mostly its examples.
        seconds: since the last look, validation and callbacks left out.
    """

    first: int
    values: dict[str, list[float]]
    examples: list[int]
    weights: list[float]
    seconds: float

    @property
    def losses(self) -> list[float]:
        """The training loss of each step; of several players, that of the first."""
        return self.values.get("loss") or next(iter(self.values.values()))

    @property
    def images_per_second(self) -> float:
        """The speed of training."""
        return sum(self.examples) / max(self.seconds, 1e-9)


class Callback:
    """Watches a training; every hook does nothing unless overridden. No callback knows of another, nor of their order.

    The hooks come in this order::

        on_begin                    once in a run's life
            on_phase_start          in every process that works on the phase
                on_epoch_start      in every process that works on the epoch
                    on_step_end, and every few steps on_log
                on_epoch_end
        measure
        on_test_end
        close                       in every process, also when the training failed

    What it draws or writes goes to ``trainer.recorder``. What it remembers from one hook to a later one is its state:
    a run that continues gets it back. A run is saved between two hooks, never within one.
    """

    metric_names: Sequence[str] = ()
    """What :meth:`measure` gives, such as ``test/spread``."""

    def reads_network(self, data: Data) -> bool:
        """Whether it calls the network or reads its weights, given the data of the training.

        It cannot where the network lies in parts on several processes (``trainer.shard``), of which one has callbacks.
        A callback that does neither says so.
        """
        return True

    def on_begin(self, trainer: Trainer) -> None:
        """Before the first step of a run; not when it continues."""

    def on_phase_start(self, trainer: Trainer) -> None:
        """Before the first step of a phase, or where a run continues in it."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch, or where a run continues in it."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After every optimizer step; ``trainer.cursor.step`` counts it already. In the hot loop: be quick."""

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """After every few steps, with what they gave; the values in it are finite."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """After an epoch's training and validation; ``trainer.cursor.epoch`` counts it already.

        Args:
            trainer: the trainer; :meth:`~dlrun.training.trainer.Trainer.stop` ends the training here.
            metrics: such as ``train/loss`` and ``val/accuracy``.
            improved: the validation is the best so far.
        """

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Figures of its own of the model that is being tested, to stand beside the test's."""
        return {}

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """After the test of the best checkpoint; metrics such as ``test/accuracy``."""

    def close(self) -> None:
        """At the very end, also when the training failed."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, in plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
