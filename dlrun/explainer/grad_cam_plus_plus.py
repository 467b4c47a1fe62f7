"""Grad-CAM++."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.explainer.cam import GradientCAM


class GradCAMPlusPlus(GradientCAM):
    """Weights that count several instances of a class alike (Chattopadhay et al. 2018, Grad-CAM++).

    The second and third derivative of the score's exponential are powers of the gradient, so one pass is enough.
    """

    def combine(self, features: Tensor, gradient: Tensor) -> Tensor:
        """The weighed sum (B, h, w)."""
        square = gradient**2
        total = features.sum(dim=(2, 3), keepdim=True)
        divisor = 2 * square + total * square * gradient
        alpha = torch.where(divisor == 0, 0.0, square / divisor)
        weights = (alpha * gradient.relu()).sum(dim=(2, 3), keepdim=True)
        return (weights * features).sum(dim=1)
