"""How many updates the perceptron made, and how many it can need at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.svm import LinearSVC

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs
from dlrun.errors import UserError
from dlrun.model.perceptron import Perceptron

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


class MarginBound(Callback):
    """Novikoff's bound on the updates of the online perceptron: (R / margin)^2 (Novikoff 1962).

    R is the largest norm of an input (normalised, with a 1 for the bias) and the margin that of a linear support
    vector machine through the origin; on data that no line separates there is no bound.
    """

    metric_names = ("test/updates", "test/updates_bound")

    def on_begin(self, trainer: Trainer) -> None:
        """Refuse another network than a perceptron, before it trains."""
        if not isinstance(trainer.model.network, Perceptron):
            raise UserError(f"callback: {type(self).__name__} knows a bound for model=perceptron alone")

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """``test/updates`` and ``test/updates_bound``."""
        network = trainer.model.network
        assert isinstance(network, Perceptron)
        batches = list(trainer.data.train.epoch(0))
        seen = trainer.model.normalize(torch.cat([inputs(batch) for batch in batches]))
        points = seen.flatten(1).double().cpu().numpy()
        points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        signs = 2 * torch.cat([batch["target"] for batch in batches]).cpu().numpy() - 1
        machine = LinearSVC(C=1e4, loss="hinge", fit_intercept=False, max_iter=200_000, random_state=0)
        normal = machine.fit(points, signs).coef_[0]
        found = {"test/updates": float(network.updates)}
        margin = (signs * (points @ normal)).min()
        if margin > 0:
            largest = np.linalg.norm(points, axis=1).max()
            found["test/updates_bound"] = float((largest * np.linalg.norm(normal) / margin) ** 2)
        return found
