"""The exact margin of a network of two inputs, beside a search over the whole square."""

from __future__ import annotations

import torch
from torch import nn

from dlrun.lesson.exact_margin import exact


def test_the_exact_margin_is_that_of_a_fine_grid() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    axis = torch.linspace(0, 1, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        logits = model(grid)
        model[-1].bias[1] += (logits[:, 0] - logits[:, 1]).median()  # half of the square is of either class
        classes = model(grid).argmax(dim=1)
    for place in (40_100, 120_300, 90_050):
        point, target = grid[place], int(classes[place])
        distances = (grid[classes != target] - point).abs().amax(dim=1)
        found = exact(model, point, target, 1.0)
        assert found - 1e-6 <= float(distances.min()) <= found + 2 / 400
        within = exact(model, point, target, float(distances.min()))
        assert abs(within - found) < 1e-5
    assert exact(model, point, target, 1e-3) == 1e-3  # no other class within that distance
