"""The gradient by layer: that of a plain backward pass, measured without a trace in the training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from dlrun.callback.gradient_norms import AXES, GradientNorms
from dlrun.model.normalized import Normalized
from dlrun.task.classification import Classification
from dlrun.training.trainer import Trainer


class Kept:
    """A recorder that keeps curves."""

    def __init__(self) -> None:
        self.curves: dict[str, Any] = {}

    def curve(self, name: str, axes: tuple[str, str], points: list[tuple[float, float]]) -> None:
        assert axes == AXES
        self.curves[name] = points

    def figure(self, name: str, figure: object) -> None:
        assert name == "gradient_norm"


def test_the_norms_are_those_of_autograd_and_the_training_does_not_notice() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.0), nn.Linear(12, 4)]
    model = Normalized(nn.Sequential(*layers), [0.5], [0.25])
    batch = {"image": torch.rand(5, 1, 4, 4), "target": torch.tensor([0, 1, 2, 3, 0])}
    recorder, before = Kept(), {name: value.clone() for name, value in model.state_dict().items()}
    loader = SimpleNamespace(epoch=lambda _: iter([batch]))
    trainer = SimpleNamespace(
        model=model,
        data=SimpleNamespace(train=loader),
        task=Classification(nn.CrossEntropyLoss(), 4),
        extent=SimpleNamespace(steps_per_epoch=1),
        recorder=recorder,
    )
    random = torch.get_rng_state()
    callback = GradientNorms()
    callback.on_begin(cast(Trainer, trainer))

    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.autograd.backward(nn.functional.cross_entropy(model.train()(batch["image"]), batch["target"]))
    expected = [float(layer.weight.grad.norm()) for layer in (layers[0], layers[4])]  # type: ignore[union-attr, operator]
    assert recorder.curves["gradient_norm"] == [
        (1.0, pytest.approx(expected[0], rel=1e-4)),
        (2.0, pytest.approx(expected[1], rel=1e-4)),
    ]

    resumed = GradientNorms()
    resumed.load_state_dict(callback.state_dict())
    ratio = resumed.measure(cast(Trainer, trainer))["test/gradient_ratio"]
    assert ratio == pytest.approx(expected[0] / expected[1], rel=1e-4)
