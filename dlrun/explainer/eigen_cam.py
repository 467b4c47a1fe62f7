"""Eigen-CAM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.explainer.cam import CAM
from dlrun.explainer.layer import cut, grid


class EigenCAM(CAM):
    """The features' first principal component over the places (Muhammad and Yeasin 2020, Eigen-CAM).

    The same for all classes. A component has no sign of its own: it takes the one that agrees with the features' sum.
    """

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, h, w), in the resolution of the layer."""
        features = grid(cut(model, images, self.layer)[0].detach().float(), self.layer)
        places = features.flatten(2).transpose(1, 2)  # (B, h*w, C)
        centred = places - places.mean(dim=1, keepdim=True)
        _, _, components = torch.linalg.svd(centred, full_matrices=False)
        projected = (centred @ components[:, :1].transpose(1, 2)).squeeze(2)
        agreement = (projected * centred.sum(dim=2)).sum(dim=1, keepdim=True)
        projected = torch.where(agreement < 0, -projected, projected).relu()
        return projected.view(-1, 1, *features.shape[2:]).expand(-1, classes.shape[1], -1, -1)
