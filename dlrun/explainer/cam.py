"""What the methods share that weigh the feature map of one layer (class activation maps)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.explainer.explainer import Explainer
from dlrun.explainer.layer import cut, gradients, grid


@dataclass
class CAM(Explainer):
    """A map in the resolution of one layer.

    Args:
        layer: its dotted name; None finds the last feature map.
    """

    layer: str | None = None


class GradientCAM(CAM):
    """A layer's features, weighed by the gradient of the class score in them."""

    @abstractmethod
    def combine(self, features: Tensor, gradient: Tensor) -> Tensor:
        """The map (B, h, w) that follows from the features (B, C, h, w) and the gradient in them."""

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, h, w), in the resolution of the layer."""
        leaf, scores = cut(model, images, self.layer)
        features = grid(leaf.detach().float(), self.layer)
        combined = [self.combine(features, grid(gradient)) for gradient in gradients(leaf, scores, classes)]
        return torch.stack(combined, dim=1).relu()
