"""What a classifier's outputs mean: logits with a column for each class, of which two classes may share one."""

from __future__ import annotations

import torch
from torch import Tensor


def class_logits(outputs: Tensor) -> Tensor:
    """Logits (B, K) with K of 2 or more: a single one (B, 1) is that of class 1 against a 0 for class 0."""
    return torch.cat([torch.zeros_like(outputs), outputs], dim=1) if outputs.shape[1] == 1 else outputs


def class_scores(outputs: Tensor) -> Tensor:
    """What explanations differentiate, float32 (B, K): the logits, those that come from a single one centred.

    A constant 0 has no gradient, and so no evidence. Less their mean, the logits (0, z) are (-z/2, z/2): the evidence
    for class 0 is that against class 1, and the probabilities are the same.
    """
    logits = class_logits(outputs.float())
    return logits - logits.mean(dim=1, keepdim=True) if outputs.shape[1] == 1 else logits
