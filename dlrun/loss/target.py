"""Targets in the form of the logits, for losses that compare the two element by element."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def like(logits: Tensor, targets: Tensor) -> Tensor:
    """Targets as floats in the shape of the logits.

    Args:
        logits: float, any shape.
        targets: class indices (B,) for logits (B, K): one-hot for K > 1, 0 or 1 for K = 1; or floats in the logits'
            shape already (probabilities, an image), which are returned as they are.
    """
    if targets.shape == logits.shape:
        return targets.to(logits.dtype)
    if logits.shape[1] == 1:
        targets = targets[:, 1] if targets.ndim == 2 else targets
        return targets.to(logits.dtype).view_as(logits)
    return F.one_hot(targets, logits.shape[1]).to(logits.dtype)
