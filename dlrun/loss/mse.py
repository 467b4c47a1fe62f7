"""Mean squared error."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.loss.target import like


class MeanSquaredError(nn.Module):
    """Mean over all elements of (output - target)^2; class indices are compared as one-hot vectors."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; outputs of any shape, targets in the same shape, or class indices (B,)."""
        return F.mse_loss(outputs, like(outputs, targets))
