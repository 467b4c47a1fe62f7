"""An image in, a text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dlrun.model.conv_stages import conv_stages
from dlrun.model.decoder import Decoder, Memory, Writer


class Captioner(Writer):
    """A convolutional encoder, and a decoder that looks at its positions (Xu et al. 2015, soft attention).

    Source: 001_6d5271d093cc63ab.txt, image captioning. A stage of the encoder is a convolution of 3x3, batch
    normalisation and ReLU, and the first ones end in max pooling. Positions are found by what is there; what is read at
    one is that, a learned vector that says where it is, and what there is anywhere: a network that had to look at the
    right place before it knows a shape would often not learn shapes.

    Args:
        channels: of an image.
        image_size: its side in pixels.
        words: numbers of the vocabulary; 0 ends a text.
        length: numbers of a text, its end included.
        widths: channels of each stage.
        pools: stages that halve the side.
        hidden: numbers of the decoder's state.
        width: numbers of a word's vector.
        cell: ``lstm`` or ``gru``.
        attention: whether the decoder looks at the positions; else it has the maxima over them alone.

    Raises:
        ValueError: no captions, or stages that leave too little of an image.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        words: int | None,
        length: int | None,
        widths: Sequence[int] = (16, 32, 64),
        pools: int = 2,
        hidden: int = 128,
        width: int = 32,
        cell: Literal["gru", "lstm"] = "lstm",
        attention: bool = True,
    ) -> None:
        super().__init__()
        if words is None or length is None:
            raise ValueError("captioner writes captions, and the dataset has none; expected dataset=shapes")
        side = image_size >> pools
        if not pools <= len(widths) or side < 2:
            raise ValueError(
                f"pools={pools}: {len(widths)} stages leave {side}x{side} of {image_size}x{image_size} pixels; expected"
                " no more pools than stages, and 2x2 or more"
            )
        self.features = nn.Sequential(*conv_stages(channels, widths, pools))
        self.position = nn.Embedding(side * side, widths[-1])
        self.bridge = nn.Linear(widths[-1], hidden)
        self.length = length
        self.decoder = Decoder(words, 2 * widths[-1], hidden, width, cell, attention)

    def encode(self, inputs: Tensor) -> Memory:
        """Features at the positions of images (B, C, H, W), row by row, each beside their maxima over all positions."""
        found = self.features(inputs).flatten(2).transpose(1, 2)
        maxima = found.amax(dim=1)
        beside = maxima.unsqueeze(1).expand_as(found)
        places = torch.cat([found + self.position.weight, beside], dim=2)
        return Memory(self.bridge(maxima).tanh(), places, keys=torch.cat([found, beside], dim=2))
