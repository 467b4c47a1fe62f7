"""An edge detector in the place of an explanation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.explainer.explainer import Explainer


class Edges(Explainer):
    """The image's gradient by Sobel's filters: what many pictures of pixels resemble, and it knows no model."""

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, H, W), the same for all classes."""
        filter = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device)
        grey = F.pad(images.float().mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        edges = F.conv2d(grey, torch.stack([filter, filter.T]).unsqueeze(1))
        strength = edges.square().sum(dim=1, keepdim=True).sqrt()
        return strength.expand(-1, classes.shape[1], -1, -1)
