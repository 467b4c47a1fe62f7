"""U-Net, a network with an output for every pixel."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dlrun.model.norm import Norm
from dlrun.model.norm import norm as make_norm
from dlrun.model.size import require


class UNet(nn.Module):
    """Down to coarse features and back up, with the fine ones handed across (Ronneberger et al. 2015, U-Net).

    Two 3x3 convolutions that keep the size at each scale, max pooling down, transposed convolutions up.

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by 2 to the number of scales below the first.
        num_classes: outputs for each pixel.
        widths: channels at each scale, from the whole image down.
        norm: of every convolution's output, :func:`dlrun.model.norm.norm`.
        dropout: probability of the coarsest features, as at the end of the paper's way down.

    Raises:
        ValueError: the image cannot be halved so often.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        widths: list[int],
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        coarsest = 2 ** (len(widths) - 1)
        require("unet", image_size, coarsest)
        if image_size % coarsest:
            raise ValueError(f"unet halves an image {len(widths) - 1} times; expected dataset.image_size divisible")
        super().__init__()
        self.down = nn.ModuleList(_block(inputs, outputs, norm) for inputs, outputs in pairwise([channels, *widths]))
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(dropout)
        upward = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(inputs, outputs, 2, stride=2) for inputs, outputs in upward)
        self.merge = nn.ModuleList(_block(2 * outputs, outputs, norm) for _, outputs in upward)
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes, H, W) for images (B, C, H, W)."""
        features, across = images, []
        for scale, block in enumerate(self.down):
            features = block(self.pool(features) if scale else features)
            across.append(features)
        features = self.drop(features)
        for fine, up, merge in zip(reversed(across[:-1]), self.up, self.merge, strict=True):
            features = merge(torch.cat([fine, up(features)], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for source in (inputs, outputs):
        layers.append(nn.Conv2d(source, outputs, 3, padding=1, bias=norm != "batch"))
        layers += [nn.ReLU()] if norm == "none" else [make_norm(norm, outputs), nn.ReLU()]
    return nn.Sequential(*layers)
