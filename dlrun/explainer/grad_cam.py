"""Grad-CAM."""

from __future__ import annotations

from torch import Tensor

from dlrun.explainer.cam import GradientCAM


class GradCAM(GradientCAM):
    """The channels' sum, weighed by the spatial mean of the gradient (Selvaraju et al. 2017, Grad-CAM)."""

    def combine(self, features: Tensor, gradient: Tensor) -> Tensor:
        """The weighed sum (B, h, w)."""
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        return (weights * features).sum(dim=1)
