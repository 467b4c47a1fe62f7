"""The moving average of weights, against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlrun.training.average import moving_average


def test_weights_and_running_statistics_are_averaged_with_a_warm_up() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    averaged = moving_average(model, 0.5)
    expected: dict[str, torch.Tensor] = {}
    for number in range(12):
        model(torch.randn(8, 3) + number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        averaged.update_parameters(model)
        keep = min(0.5, (1 + number) / (10 + number)) if number else 0.0  # the first one is taken as it is
        for name, value in model.state_dict().items():
            old = expected.get(name, value)
            expected[name] = keep * old + (1 - keep) * value if value.is_floating_point() else value.clone()
    found = averaged.module.state_dict()
    assert found["1.running_mean"].tolist() != pytest.approx(model.state_dict()["1.running_mean"].tolist())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
