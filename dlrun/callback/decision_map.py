"""Decision maps of models of points in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.callback.callback import Callback, StepLog
from dlrun.dataset.source import are_points
from dlrun.figure.decision_map import decision_map
from dlrun.model.logits import class_logits

if TYPE_CHECKING:
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer

FINE, COARSE = torch.linspace(-0.1, 1.1, 241), torch.linspace(-0.1, 1.1, 41)
"""Of the map, and of earlier borders, which may be many."""


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

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """Keep the border, if it has moved."""
        if self.history and log.regular and _has_points(trainer):
            logits = _logits(trainer, COARSE)
            if not self._logits or not torch.equal(logits, self._logits[-1]):
                self._logits.append(logits)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Draw, now and then."""
        every = max(trainer.total_epochs // self.maps, 1)
        if trainer.progress.epoch % every == 0 and _has_points(trainer):
            trainer.show("decision_map", self._figure(trainer))

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Draw the model that was tested."""
        if _has_points(trainer):
            trainer.show("decision_map", self._figure(trainer))

    def _figure(self, trainer: Trainer) -> Figure:
        source = trainer.data.train.source
        shown = range(min(self.points, len(source)))
        points = torch.stack([source[index].flatten().cpu() for index in shown])
        targets = source.targets[: len(points)].cpu()
        logits = _logits(trainer, FINE)
        return decision_map(FINE, logits, points, targets, trainer.data.classes, COARSE, self._logits)


def _has_points(trainer: Trainer) -> bool:
    return are_points(trainer.data.train.source[0])


def _logits(trainer: Trainer, axis: Tensor) -> Tensor:
    """Of the classes on the grid of these values of x and y, float (S, S, K), rows by y."""
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    images = torch.stack([x.flatten(), y.flatten()], dim=1)[:, :, None, None]
    was_training = trainer.model.training
    with torch.inference_mode():
        logits = class_logits(trainer.eval_model.eval()(images.to(trainer.device)))
    trainer.model.train(was_training)
    return logits.cpu().reshape(*x.shape, -1)
