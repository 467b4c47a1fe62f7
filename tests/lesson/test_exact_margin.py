"""The exact margin of a network of two inputs, beside a search over the whole square."""

from __future__ import annotations

import torch
from torch import nn

from dlrun.lesson.exact_margin import exact


def test_the_exact_margin_is_that_of_a_fine_grid() -> None:
    torch.manual_seed(0)
    last = nn.Linear(6, 2)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), last).double()
    axis = torch.linspace(0, 1, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
        logits = model(grid)
        last.bias[1] += (logits[:, 0] - logits[:, 1]).median()  # half of the square is of either class
        gap = model(grid).diff(dim=1)[:, 0]
    classes = (gap > 0).long()
    assert 0.3 < float(classes.double().mean()) < 0.7
    for place in (10_000, 80_200, 150_350):
        point, target = grid[place], int(classes[place])
        nearest = float((grid[classes != target] - point).abs().amax(dim=1).min())
        found = exact(model, point, target, 1.0)
        assert found - 1e-6 <= nearest <= found + 2 / 400
        assert abs(exact(model, point, target, nearest) - found) < 1e-5  # a tighter limit changes nothing
    assert exact(model, point, target, found / 2) == found / 2  # no other class within that distance
