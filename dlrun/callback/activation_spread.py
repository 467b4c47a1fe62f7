"""What an initialisation does to the activations of each layer, and to its units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs
from dlrun.figure.curves import curves
from dlrun.model.activation import CLASSES

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer

NAME = "activation_spread"
AXES = ("layer", "standard deviation of the activations")
TITLE = "How far the activations of each layer spread before training"
ACTIVATIONS = tuple(set(CLASSES.values()))


class ActivationSpread(Callback):
    """``curves/activation_spread.csv`` before the first step; how alike the units of a layer are after the last.

    ``test/spread_ratio`` is the spread after the last activation over that after the first, before training;
    ``test/distinct_units`` the least share, over the hidden dense layers, of units whose weights are no other's (to
    five digits).
    """

    metric_names = ("test/spread_ratio", "test/distinct_units")

    def __init__(self) -> None:
        self._spreads: list[float] = []

    def on_begin(self, trainer: Trainer) -> None:
        """Measure on the first batch."""
        self._spreads = []
        hooks = [
            layer.register_forward_hook(lambda _, __, output: self._spreads.append(float(output.std())))
            for layer in trainer.model.modules()
            if isinstance(layer, ACTIVATIONS)
        ]
        with torch.inference_mode():
            trainer.model.eval()(inputs(next(trainer.data.train.epoch(0))))
        for hook in hooks:
            hook.remove()
        points = [(float(number), spread) for number, spread in enumerate(self._spreads, start=1)]
        trainer.recorder.curve(NAME, AXES, points)
        trainer.recorder.figure(NAME, curves(TITLE, AXES, {"": points}))

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """``test/spread_ratio`` and ``test/distinct_units``."""
        hidden = [layer.weight for layer in trainer.eval_model.modules() if isinstance(layer, nn.Linear)][:-1]
        return {
            "test/spread_ratio": self._spreads[-1] / max(self._spreads[0], 1e-30),
            "test/distinct_units": min(map(_distinct, hidden)),
        }

    def state_dict(self) -> dict[str, Any]:
        """The spreads, by layer."""
        return {"spreads": self._spreads}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._spreads = state["spreads"]


def _distinct(weight: Tensor) -> float:
    """The share of rows that differ, of a weight matrix (outputs, inputs)."""
    scale = weight.abs().max().clamp(min=1e-30)
    return len(torch.unique((weight / scale * 1e5).round(), dim=0)) / len(weight)
