"""Vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.model.transformer import encoder_layers


class VisionTransformer(nn.Module):
    """An image as a sequence of patches, of which each attends to all (Dosovitskiy et al. 2021, ViT).

    A class token is read in front of the patches; positions are learned. The layers are torch's own, with the
    normalisation before attention and before the dense layers, as in the paper (003_ViT).

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by the patches'.
        num_classes: outputs.
        patch: side of the squares that the image is cut into.
        width: numbers for each token.
        depth: layers.
        heads: of each attention; they divide the width.
        hidden: numbers between the two dense layers of each layer.
        dropout: probability, everywhere in the layers.

    Raises:
        ValueError: the image is no whole number of patches, or the width none of heads.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        patch: int = 4,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        if image_size % patch:
            raise ValueError(f"patch={patch}: expected a divisor of dataset.image_size={image_size}")
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (image_size // patch) ** 2 + 1, width) * 0.02)
        self.layers = nn.Sequential(*encoder_layers(width, heads, hidden, depth, dropout))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) for images (B, C, H, W)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(tokens.shape[0], -1, -1)
        tokens = self.layers(torch.cat([first, tokens], dim=1) + self.positions)
        logits: Tensor = self.fc(self.norm(tokens)[:, 0])
        return logits
