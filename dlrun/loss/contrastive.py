"""Contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Contrastive(nn.Module):
    """Images of one class are drawn together, others pushed ``margin`` apart (Hadsell, Chopra and LeCun 2006).

    Over all pairs of a batch: half the mean of d^2 over those of one class, and half the mean of max(0, margin - d)^2
    over the others, where d is the distance of two embeddings. Both kinds count alike, however few of one there are;
    a kind that the batch does not have adds nothing.

    Args:
        margin: the distance from which on two classes are far enough apart, in units of the embedding.

    Raises:
        ValueError: the margin is not above 0.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if margin <= 0:
            raise ValueError(f"margin={margin}: expected a distance above 0")
        self.margin = margin

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar; embeddings (B, D), classes int64 (B,)."""
        first, second = torch.triu_indices(len(targets), len(targets), offset=1, device=targets.device)
        squares = (embeddings[first] - embeddings[second]).float().square().sum(dim=1)
        apart = (self.margin - (squares + 1e-12).sqrt()).clamp(min=0)  # the root of 0 has no gradient
        same = targets[first] == targets[second]
        return (_mean(squares, same) + _mean(apart.square(), ~same)) / 2


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 where there are none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
