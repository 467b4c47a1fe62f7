"""Classes of unequal size: weights that make up for it, in the loss or in the drawing of examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch
from dlrun.errors import UserError

Sampling = Literal["balanced"] | Sequence[float] | None


def balanced(counts: Tensor) -> Tensor:
    """The weight of each class with which all weigh alike, and an example 1 on average: N / (K n_k).

    Args:
        counts: examples of each class, int64 (K,); a class without any has weight 1, and is none of the K.
    """
    present = counts > 0
    return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 1.0)


def class_counts(batches: Iterable[Batch], num_classes: int) -> Tensor:
    """The examples of each class, or the pixels where it is pixels that have classes, int64 (K,).

    Raises:
        UserError: the data has no classes.
    """
    counts = torch.zeros(num_classes, dtype=torch.int64)
    for batch in batches:
        found = batch.get("target", batch.get("mask"))
        if found is None or found.is_floating_point():
            raise UserError(f"loss.weight=balanced: the data has no classes ({', '.join(batch)}); expected null")
        counts += found.flatten().bincount(minlength=num_classes).cpu()
    return counts


def chances(targets: Tensor | None, num_classes: int, sampling: Sampling) -> Tensor:
    """The probability of each example to be drawn, float64 (N,), sum 1.

    Args:
        targets: the classes, int64 (N,); None where the data has none.
        num_classes: how many there are.
        sampling: ``balanced``: every class is drawn as often as any other; else the weight of an example by its class.

    Raises:
        UserError: there are no classes, or the weights are not those of these classes.
    """
    if targets is None or targets.ndim > 1 or targets.is_floating_point():
        raise UserError("dataset.sampling: the data has no classes to draw by; expected null")
    if sampling == "balanced":
        weights = balanced(targets.cpu().bincount(minlength=num_classes))
    else:
        weights = torch.tensor(sampling)
    if len(weights) != num_classes or not bool((drawn := weights.double()[targets.cpu().long()]).sum() > 0):
        given = ",".join(f"{each:g}" for each in weights.tolist())
        raise UserError(f"dataset.sampling=[{given}]: expected a weight for each of {num_classes} classes, not all 0")
    return drawn / drawn.sum()
