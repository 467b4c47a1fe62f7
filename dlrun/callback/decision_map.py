"""Decision maps of models of points in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlrun.callback.callback import Callback, StepLog
from dlrun.model.logits import class_logits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.dataset.data import Data
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer

FINE, WIDE = torch.linspace(-0.1, 1.1, 241), torch.linspace(-0.5, 1.5, 241)
"""Of the map: that of the history is wider, for a border may begin far from the points."""
COARSE = {size: torch.linspace(low, high, size) for size, low, high in ((41, -0.1, 1.1), (51, -0.5, 1.5))}
"""Of earlier borders, which may be many, by the number of values; the first is that of version 0.1."""


class DecisionMap(Callback):
    """Draws what the model says about the plane; does nothing where the dataset is no points.

    Args:
        maps: how many times in the training.
        history: the last map shows the borders of all looks (``trainer.log_every``) at which one had moved.
        points: the most points that are drawn.
    """

    def __init__(self, maps: int = 5, history: bool = False, points: int = 1000) -> None:
        self.maps, self.history, self.points = maps, history, points
        self._logits: list[Tensor] = []

    def reads_network(self, data: Data) -> bool:
        """To draw, where there are points."""
        return _has_points(data)

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Keep the border, if it has moved."""
        if self.history and _has_points(trainer.data):
            logits = _logits(trainer, COARSE[len(self._logits[0]) if self._logits else 51])
            if not self._logits or not torch.equal(logits, self._logits[-1]):
                self._logits.append(logits)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Draw, now and then."""
        every = max(trainer.extent.last_epoch // self.maps, 1)
        if trainer.cursor.epoch % every == 0 and _has_points(trainer.data):
            trainer.recorder.figure("decision_map", self._figure(trainer), trainer.cursor.step)

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Draw the model that was tested."""
        if _has_points(trainer.data):
            trainer.recorder.figure("decision_map", self._figure(trainer), trainer.cursor.step)

    def state_dict(self) -> dict[str, Any]:
        """The borders so far, as logits on the coarse grid."""
        return {"logits": torch.stack(self._logits) if self._logits else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._logits = [] if state["logits"] is None else list(state["logits"])

    def _figure(self, trainer: Trainer) -> Figure:
        train = trainer.data.train
        shown = train.examples(torch.arange(min(self.points, len(train.source))))
        axis, classes = WIDE if self.history else FINE, trainer.data.classes
        coarse = COARSE[len(self._logits[0])] if self._logits else axis
        logits = _logits(trainer, axis)
        from dlrun.figure.decision_map import decision_map  # matplotlib takes a moment to import

        return decision_map(axis, logits, shown["point"], shown["target"], classes, coarse, self._logits)


def _has_points(data: Data) -> bool:
    return "point" in data.fields and data.train.source[0]["point"].shape == (2,)


def _logits(trainer: Trainer, axis: Tensor) -> Tensor:
    """Of the classes on the grid of these values of x and y, float (S, S, K), rows by y."""
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], dim=1)
    was_training = trainer.model.training
    with torch.inference_mode():
        logits = class_logits(trainer.eval_model.eval()(points.to(trainer.device)))
    trainer.model.train(was_training)
    return logits.cpu().reshape(*x.shape, -1)
