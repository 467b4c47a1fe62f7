"""Normalisation as the first layer of a model, for inputs of any number of dimensions."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from dlrun.model.normalized import Normalized

MEAN, STD = [0.25, 0.5], [0.5, 2.0]


@pytest.mark.parametrize("shape", [(), (7,), (4, 6)], ids=["points", "signals", "images"])
def test_every_channel_has_its_own_mean_and_deviation(shape: tuple[int, ...]) -> None:
    inputs = torch.rand(3, 2, *shape, generator=torch.Generator().manual_seed(0))
    given = inputs.clone()
    expected = torch.stack([(inputs[:, channel] - MEAN[channel]) / STD[channel] for channel in (0, 1)], dim=1)
    assert torch.equal(Normalized(nn.Identity(), MEAN, STD)(inputs), expected)
    assert torch.equal(inputs, given)


def test_without_mean_or_std_inputs_reach_the_network_as_they_are() -> None:
    inputs = torch.rand(3, 2)
    for mean, std in ((None, None), (MEAN, None), (None, STD)):
        assert Normalized(nn.Identity(), mean, std)(inputs) is inputs


@pytest.mark.parametrize("shape", [(2,), (2, 5, 5)], ids=["points", "images"])
def test_a_tracer_follows_it(shape: tuple[int, ...]) -> None:
    model = Normalized(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), MEAN, STD)
    inputs = torch.rand(4, *shape)
    expected = model(inputs)
    assert torch.equal(fx.symbolic_trace(model)(inputs), expected)


def test_mean_and_std_are_not_in_the_state() -> None:
    assert list(Normalized(nn.Linear(2, 1), MEAN, STD).state_dict()) == ["network.weight", "network.bias"]
