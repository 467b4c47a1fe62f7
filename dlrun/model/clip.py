"""Images and texts in one space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.model.conv_stages import conv_stages
from dlrun.model.transformer import encoder_layers

MOST = 100.0
"""The largest scale of similarities, as in the paper."""


@runtime_checkable
class Describing(Protocol):
    """A network that has a place for images and texts in the same space."""

    length: int
    """The most words that it reads of a text."""

    def scale(self) -> Tensor:
        """What similarities are multiplied by before the softmax, a scalar: one over the temperature."""

    def describe(self, texts: Tensor) -> Tensor:
        """Unit vectors (B, D) of texts, the numbers of their words, int64 (B, L), 0 behind the end."""


class CLIP(nn.Module):
    """A convolutional network for images and a small transformer for texts (Radford et al. 2021, CLIP).

    Both end in unit vectors, whose scalar product says how well text and image fit (003_7190ac02314fafbe.txt, CLIP).
    The image's is made of all positions of the last features, as a text may say where a thing is; the text's of the
    mean over its words. The layers of the transformer are torch's own.

    Args:
        channels: of an image.
        image_size: its side in pixels.
        words: numbers of the vocabulary; 0 is padding.
        length: the most words of a text.
        embedding: numbers of the vectors.
        widths: channels of each stage of convolution, normalisation, ReLU and pooling.
        width: numbers of a word.
        depth: layers of the transformer.
        heads: of each attention; they divide the width.

    Raises:
        ValueError: no texts, images too small for the stages, or the width is none of heads.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        words: int | None,
        length: int | None,
        embedding: int = 64,
        widths: Sequence[int] = (16, 32, 64),
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if words is None or length is None:
            raise ValueError("clip reads captions, and the dataset has none; expected dataset=shapes")
        side = image_size >> len(widths)
        if not widths or not side:
            raise ValueError(
                f"widths={list(widths)}: leave nothing of {image_size}x{image_size} pixels; expected fewer"
            )
        self.length = length
        stages = conv_stages(channels, widths, pools=len(widths))
        self.image = nn.Sequential(*stages, nn.Flatten(), nn.Linear(widths[-1] * side**2, embedding))
        self.word = nn.Embedding(words, width, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(1, length, width) * 0.02)
        self.layers = nn.ModuleList(encoder_layers(width, heads, 2 * width, depth))
        self.norm = nn.LayerNorm(width)
        self.text = nn.Linear(width, embedding)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors (B, embedding) of images (B, C, H, W)."""
        return F.normalize(self.image(images), dim=1)

    def describe(self, texts: Tensor) -> Tensor:
        """Unit vectors (B, embedding) of texts, int64 (B, L), with a word each at least."""
        absent = texts == 0
        tokens = self.word(texts) + self.positions[:, : texts.shape[1]]
        for layer in self.layers:
            tokens = layer(tokens, src_key_padding_mask=absent)
        there = (~absent).unsqueeze(2)
        mean = (self.norm(tokens) * there).sum(dim=1) / there.sum(dim=1)
        return F.normalize(self.text(mean), dim=1)

    def scale(self) -> Tensor:
        """What similarities are multiplied by, a scalar of 100 or less; it is learned, and begins at 1/0.07."""
        return self.log_scale.exp().clamp(max=MOST)
