"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.explainer.cam import CAM
from dlrun.explainer.explainer import upsample
from dlrun.explainer.layer import cut, grid
from dlrun.model.frozen import frozen
from dlrun.model.inference import inference
from dlrun.model.logits import class_scores


@dataclass
class ScoreCAM(CAM):
    """A channel's weight is the class score of the image seen through it; no gradients (Wang et al. 2020, Score-CAM).

    A forward pass for every channel of the layer.

    Args:
        batch_size: masked images in a forward pass.
    """

    batch_size: int = 64

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, h, w), in the resolution of the layer."""
        features = grid(cut(model, images, self.layer)[0].detach().float(), self.layer)
        return torch.stack([self._map(model, *example) for example in zip(images, features, classes, strict=True)])

    def _map(self, model: nn.Module, image: Tensor, features: Tensor, classes: Tensor) -> Tensor:
        """The maps of one image (T, h, w)."""
        lowest, highest = features.aminmax(dim=-1, keepdim=True)
        lowest, highest = lowest.amin(dim=-2, keepdim=True), highest.amax(dim=-2, keepdim=True)
        masks = (features - lowest) / (highest - lowest).clamp(min=1e-12)
        with frozen(model), torch.no_grad(), inference(model):
            scores = torch.cat(
                [
                    class_scores(model(image * upsample(part, image.shape[-2:]).unsqueeze(1).to(image)))
                    for part in torch.split(masks, self.batch_size)
                ]
            )
        weights = scores[:, classes].softmax(dim=0)  # (C, T)
        return torch.einsum("ct,chw->thw", weights, features).relu()
