"""A function of one number, seen through noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dlrun.dataset.field import Label, Vector
from dlrun.dataset.source import Splits, TensorSource

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": lambda x: torch.sin(2 * math.pi * x),
    "step": lambda x: torch.sign(x - 0.5),
    "line": lambda x: 2 * x - 1,
}


def load(function: str = "sine", noise: float = 0.1, train: int = 200, test: int = 200, seed: int = 0) -> Splits:
    """Points x in [0,1] and y = f(x) + normal noise, both float (N, 1).

    Args:
        function: of :data:`FUNCTIONS`.
        noise: the deviation of it; the test has as much.
        train: points to train on.
        test: points to test on.
        seed: of all points.

    Raises:
        ValueError: no such function.
    """
    if function not in FUNCTIONS:
        raise ValueError(f"function={function}: no such function; expected {', '.join(FUNCTIONS)}")
    rng = np.random.default_rng(seed)

    def points(count: int) -> TensorSource:
        x = torch.from_numpy(rng.random((count, 1))).float()
        errors = torch.from_numpy(rng.normal(0, noise, (count, 1))).float()
        return TensorSource({"x": x, "target": FUNCTIONS[function](x) + errors})

    return Splits(points(train), points(test), [], fields={"x": Vector(), "target": Label()})
