"""Cross-entropy with weights of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """The cross-entropy of torch; pixels stand in a row on a GPU, where torch has no deterministic algorithm else."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The mean loss, a scalar, of logits (B, K, ...) and classes (B, ...) or probabilities as of the logits."""
        pixels = input.ndim > 2 and target.ndim < input.ndim
        if pixels and input.is_cuda and torch.are_deterministic_algorithms_enabled():
            input, target = input.movedim(1, -1).flatten(0, -2), target.flatten()
        return super().forward(input, target)


def cross_entropy(weight: str | Sequence[float] | None = None, label_smoothing: float = 0.0) -> CrossEntropyLoss:
    """The cross-entropy of torch, the mean over a batch weighted by the classes of its examples.

    Args:
        weight: of each class, (K,); or ``balanced``, for which :mod:`dlrun.build` puts the weights by which every class
            of the training data counts as much as any other: until the data is read it means none.
        label_smoothing: the share of the target that is spread over all classes (Szegedy et al. 2016, section 7).

    Raises:
        ValueError: another word, or a weight or share that is none.
    """
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f"weight={weight}: expected balanced, a list of a weight for each class, or null")
        weight = None
    if weight is not None and (min(weight, default=-1) < 0 or max(weight) <= 0):
        raise ValueError(f"weight={list(weight)}: expected a weight of 0 or more for each class, not all 0")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing}: expected a share, 0 to below 1")
    return CrossEntropyLoss(None if weight is None else torch.tensor(weight).float(), label_smoothing=label_smoothing)
