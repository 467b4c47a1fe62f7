"""Losses that are NaN or infinite end a training, before what caused them is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dlrun.errors import RunError


class DivergedError(RunError):
    """A loss is NaN or infinite.

    Args:
        message: says which.
        step: so many steps had been done when it was computed: the weights that they left have diverged.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(f"{message}; try a smaller optimizer.lr, or trainer.clip_norm=1")
        self.step = step


def is_loss(name: str) -> bool:
    """Whether a metric of this name is a loss."""
    return name.endswith("loss")


def check_steps(values: Mapping[str, Sequence[float]], first: int, epoch: int, rate: float) -> None:
    """Refuse losses of training steps that are not finite.

    Args:
        values: by metric, its value in each of some steps.
        first: the number of the first of them, from 1.
        epoch: in progress, from 1.
        rate: the learning rate, for the message.

    Raises:
        DivergedError: names the first such step.
    """
    for name in filter(is_loss, values):
        for step, loss in enumerate(values[name], start=first):
            if not math.isfinite(loss):
                where = f"in step {step} (epoch {epoch}) at learning rate {rate:.3g}"
                raise DivergedError(f"train/{name} is {loss} {where}", step - 1)


def check_scores(metrics: Mapping[str, float], step: int) -> None:
    """Refuse losses of a split that are not finite.

    Raises:
        DivergedError: names the loss.
    """
    for name, value in metrics.items():
        if is_loss(name) and not math.isfinite(value):
            raise DivergedError(f"{name} is {value} after step {step}: the weights have diverged", step)
