"""LayerCAM."""

from __future__ import annotations

from torch import Tensor

from dlrun.explainer.cam import GradientCAM


class LayerCAM(GradientCAM):
    """Every place has a weight, the positive gradient there (Jiang et al. 2021, LayerCAM): for low layers too."""

    def combine(self, features: Tensor, gradient: Tensor) -> Tensor:
        """The weighed sum (B, h, w)."""
        return (gradient.relu() * features).sum(dim=1)
