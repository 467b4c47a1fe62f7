"""Binary cross-entropy."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.loss.target import like


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of every logit, in the form that stays finite for any of them; the mean over all.

    One logit tells two classes apart; K logits tell K labels apart, each for itself (one against all).
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; logits (B, K), targets as class indices (B,) or probabilities (B, K)."""
        return F.binary_cross_entropy_with_logits(logits, like(logits, targets))
