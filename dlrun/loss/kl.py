"""Kullback-Leibler divergence."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.loss.target import like


class KLDivergence(nn.Module):
    """KL(target || softmax(logits)), the mean over the batch.

    It is the cross-entropy less the entropy of the target, so for class indices the two are equal.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; logits (B, K), targets as class indices (B,) or probabilities (B, K)."""
        return F.kl_div(F.log_softmax(logits, dim=1), like(logits, targets), reduction="batchmean")
