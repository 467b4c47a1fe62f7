"""The training loss against the number of samples seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlrun.callback.callback import Callback, StepLog

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.training.trainer import Trainer

NAME = "loss"
AXES = ("samples seen", "training loss")


class LossCurve(Callback):
    """``curves/loss.csv``: the mean training loss over each stretch of so many samples.

    Args:
        every: samples in a stretch; one that ends within a step ends with it, and none goes beyond its epoch.
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self._seen, self._samples, self._weight, self._sum = 0, 0, 0.0, 0.0

    def reads_network(self, data: Data) -> bool:
        """It does not."""
        return False

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Take in the steps since the last look."""
        points = []
        steps = zip(log.losses, log.examples, log.weights, strict=True)
        for step, (loss, examples, weight) in enumerate(steps, start=log.first):
            self._seen, self._samples = self._seen + examples, self._samples + examples
            self._sum, self._weight = self._sum + loss * weight, self._weight + weight
            if self._samples >= self.every or trainer.ends_epoch(step):
                points.append((float(self._seen), self._sum / self._weight))
                self._samples, self._weight, self._sum = 0, 0.0, 0.0
        trainer.recorder.curve(NAME, AXES, points)

    def state_dict(self) -> dict[str, Any]:
        """The stretch in progress."""
        return {"seen": self._seen, "samples": self._samples, "weight": self._weight, "sum": self._sum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._seen, self._samples, self._sum = state["seen"], state["samples"], state["sum"]
        self._weight = state.get("weight", self._samples)  # that of an earlier version
