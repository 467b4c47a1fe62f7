"""The symmetric contrastive loss of images and texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SymmetricContrastive(nn.Module):
    """Of all texts of a batch each image shall choose its own, and of all images each text (Radford et al. 2021).

    Both choices are a softmax over similarities; the loss is the mean of their cross-entropies.
    """

    def forward(self, images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            images: unit vectors (B, D).
            texts: unit vectors (B, D), in the same order.
            scale: of the similarities.
        """
        logits = (scale * images @ texts.T).float()
        own = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
