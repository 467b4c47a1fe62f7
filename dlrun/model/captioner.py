"""An image in, a text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from dlrun.model.decoder import Decoder, Memory, Writer


class Captioner(Writer):
    """A convolutional encoder, and a decoder that looks at its positions (Xu et al. 2015, soft attention).

    Source: 001_6d5271d093cc63ab.txt, image captioning. A stage of the encoder is a convolution of 3x3, batch
    normalisation and ReLU, with max pooling between the stages. Positions are found by what is there; what is read at
    one is that, and a learned vector that says where it is.

    Args:
        channels: of an image.
        image_size: its side in pixels.
        words: numbers of the vocabulary; 0 ends a text.
        length: numbers of a text, its end included.
        widths: channels of each stage; between two of them the side is halved.
        hidden: numbers of the decoder's state.
        width: numbers of a word's vector.
        cell: ``lstm`` or ``gru``.
        attention: whether the decoder looks at the positions; else it has the mean over them alone.

    Raises:
        ValueError: no captions, or images too small for the stages.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        words: int | None,
        length: int | None,
        widths: Sequence[int] = (16, 32, 64),
        hidden: int = 128,
        width: int = 32,
        cell: Literal["gru", "lstm"] = "lstm",
        attention: bool = True,
    ) -> None:
        super().__init__()
        if words is None or length is None:
            raise ValueError("captioner writes captions, and the dataset has none; expected dataset=shapes")
        side = image_size >> max(len(widths) - 1, 0)
        if not widths or side < 2:
            raise ValueError(
                f"widths={list(widths)}: leave {side}x{side} of {image_size}x{image_size} pixels; expected one stage or"
                " more that leave 2x2"
            )
        stages: list[nn.Module] = []
        for before, after in zip([channels, *widths[:-1]], widths, strict=True):
            conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
            stages += [conv, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*stages[:-1])
        self.position = nn.Embedding(side * side, widths[-1])
        self.bridge = nn.Linear(widths[-1], hidden)
        self.length = length
        self.decoder = Decoder(words, widths[-1], hidden, width, cell, attention)

    def encode(self, inputs: Tensor) -> Memory:
        """Features at the positions of images (B, C, H, W), row by row, and their mean."""
        found = self.features(inputs).flatten(2).transpose(1, 2)
        return Memory(self.bridge(found.mean(dim=1)).tanh(), found + self.position.weight, keys=found)
