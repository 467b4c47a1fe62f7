"""Counts of what was taken for what, which every training ends with: without torchmetrics, slow to import."""

from __future__ import annotations

from torch import Tensor


def confusion(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts, int64 (K, K): a row for each true class, a column for each predicted one.

    Args:
        predictions: class numbers, int64 of any shape.
        targets: of the same shape.
        classes: their number, K.
    """
    pairs = targets.flatten() * classes + predictions.flatten()
    return pairs.bincount(minlength=classes**2).view(classes, classes)
