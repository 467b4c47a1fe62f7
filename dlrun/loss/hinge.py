"""Hinge losses, the losses of support vector machines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.loss.target import like


class Hinge(nn.Module):
    """Hinge loss (002_650a5abb4bbbf8e1.txt, support vector machines), the mean over the batch.

    With one output f and the class y in {-1, 1}: ``relu(margin - y f)``. With several, that of Crammer and Singer
    (2001): ``relu(margin - (f_target - max of the others))``.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; outputs (B, K), targets as class indices (B,) or probabilities (B, K)."""
        wanted = like(outputs, targets)
        if outputs.shape[1] == 1:
            return (self.margin - (2 * wanted - 1) * outputs).relu().mean()
        top = outputs.topk(2, dim=1).values
        # The best of the other classes: the second best where the class itself is the best.
        best_other = torch.where(outputs == top[:, :1], top[:, 1:], top[:, :1])
        loss = (self.margin - (outputs - best_other)).relu()
        return (loss * wanted).sum(dim=1).mean()  # under mixed targets, every class by its share
