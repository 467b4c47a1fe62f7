"""How large the gradient is in each layer before training."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dlrun.callback.callback import Callback
from dlrun.figure.curves import curves
from dlrun.task.task import Clock

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer

NAME = "gradient_norm"
AXES = ("layer, counted from the input", "norm of the gradient")
TITLE = "How much of the gradient reaches each layer before training"


class GradientNorms(Callback):
    """``curves/gradient_norm.csv``: the Euclidean norm of the gradient of the first batch's loss, by layer.

    Layers are the convolutions and dense layers in the order of their definition. A copy of the network is asked, in
    double precision, for where gradients vanish those of single precision are 0.
    ``test/gradient_ratio`` is the norm in the first layer over that in the last.
    """

    metric_names = ("test/gradient_ratio",)

    def __init__(self) -> None:
        self._norms: list[float] = []

    def on_begin(self, trainer: Trainer) -> None:
        """Measure on the first batch."""
        with torch.random.fork_rng():
            self._norms = norms(trainer)
        points = [(float(number), norm) for number, norm in enumerate(self._norms, start=1)]
        trainer.recorder.curve(NAME, AXES, points)
        trainer.recorder.figure(NAME, curves(TITLE, AXES, {"": points}))

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """``test/gradient_ratio``."""
        return {"test/gradient_ratio": self._norms[0] / max(self._norms[-1], 1e-300)}

    def state_dict(self) -> dict[str, Any]:
        """The norms, by layer."""
        return {"norms": self._norms}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._norms = state["norms"]


def norms(trainer: Trainer) -> list[float]:
    """The norm of the gradient in each layer that has one, on the first batch of a training."""
    net = copy.deepcopy(trainer.model).cpu().double().train()
    moved = {name: values.cpu() for name, values in next(trainer.data.train.epoch(0)).items()}
    batch = {name: values.double() if values.is_floating_point() else values for name, values in moved.items()}
    batch = trainer.task.prepare(net, batch, Clock(0, 0, trainer.extent.steps_per_epoch, training=True))
    torch.autograd.backward(trainer.task.loss(net, batch, trainer.task.players[0]).loss)
    layers = [layer for layer in net.modules() if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd))]
    return [float(layer.weight.grad.norm()) for layer in layers if layer.weight.grad is not None]
