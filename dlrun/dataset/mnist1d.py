"""MNIST-1D: signals of 40 values in ten classes, made by the package of that name (Greydanus and Kobak 2020)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from dlrun.dataset.field import Field, Label, Vector
from dlrun.dataset.source import Splits, TensorSource
from dlrun.errors import UserError

LENGTH = 40
"""Values of a signal."""
FIELDS: dict[str, Field] = {"signal": Vector(), "target": Label()}


def load(count: int = 5000, shuffle: bool = False, seed: int = 42) -> Splits:
    """Signals of ten classes: a template, padded, scaled, moved, sheared, with noise; four of five to train.

    With the defaults they are those of the paper. A signal is float (1, 40) with a mean of 0 and a deviation of 1.

    Args:
        count: of signals.
        shuffle: put the values of all signals in one other order: what is near no longer belongs together.
        seed: of all of it.

    Raises:
        UserError: the package is not installed.
    """
    try:
        data: Any = importlib.import_module("mnist1d.data")
    except ImportError:
        raise UserError("dataset=mnist1d: needs the package mnist1d; pip install 'dlrun[mnist1d]'") from None
    options = data.get_dataset_args()
    options.num_samples, options.shuffle_seq, options.seed = count, shuffle, seed
    state = np.random.get_state()
    try:
        made = data.make_dataset(options)  # it seeds NumPy
    finally:
        np.random.set_state(state)
    parts = [
        TensorSource(
            {"signal": torch.from_numpy(made[x]).float().unsqueeze(1), "target": torch.from_numpy(made[y]).long()}
        )
        for x, y in (("x", "y"), ("x_test", "y_test"))
    ]
    return Splits(parts[0], parts[1], classes=[str(digit) for digit in range(10)], fields=FIELDS)
