"""The layer in front of a network, on inputs of every rank."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from dlrun.model.normalized import Normalized

MEAN, STD = [0.1, 0.5, 0.9], [0.5, 0.25, 2.0]


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 4, 6)])
def test_each_channel_has_its_own_mean_and_deviation(shape: tuple[int, ...]) -> None:
    given = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before = given.clone()
    model = Normalized(nn.Identity(), MEAN, STD)
    found = model.normalize(given)
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], (before[:, channel] - MEAN[channel]) / STD[channel])
    assert torch.equal(given, before)
    assert torch.equal(model(given), found)
    assert torch.equal(fx.symbolic_trace(model)(given), found)


@pytest.mark.parametrize(("mean", "std"), [(None, None), (MEAN, None), (None, STD)])
def test_without_both_nothing_is_done(mean: list[float] | None, std: list[float] | None) -> None:
    given = torch.rand(2, 3, 4, 4)
    assert Normalized(nn.Identity(), mean, std).normalize(given) is given
