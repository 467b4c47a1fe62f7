"""Recurrent networks that read an image row by row, or a signal value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
"""By the names of the option ``cell``; ``rnn`` is the plain one (Elman 1990)."""


class RNN(nn.Module):
    """A recurrent network, and a dense layer on its last hidden state (000_9560d611d10ac6dd.txt, RNN).

    A step of it sees a row of an image (C, H, W), all channels side by side, or a value of a signal (C, L) in all its
    channels.

    Args:
        channels: of an image.
        image_size: its side in pixels.
        num_classes: of the dataset.
        shape: of an input without its batch, (C, H, W) or (C, L); None for that of an image.
        cell: ``gru`` (Cho et al. 2014), ``lstm`` (Hochreiter and Schmidhuber 1997), or ``rnn``.
        hidden: numbers of the hidden state.
        layers: above each other.
        bidirectional: reads from both ends; the head sees the last states of both.

    Raises:
        ValueError: inputs of another kind.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        shape: Sequence[int] | None = None,
        cell: Literal["gru", "lstm", "rnn"] = "gru",
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        shape = shape or (channels, image_size, image_size)
        if len(shape) not in (2, 3):
            raise ValueError(f"rnn reads images (C, H, W) or signals (C, L); the dataset's inputs are {list(shape)}")
        features = math.prod(shape) // shape[-2 if len(shape) == 3 else -1]
        self.rnn = CELLS[cell](features, hidden, layers, batch_first=True, bidirectional=bidirectional)
        self.ends = 1 + bidirectional
        self.head = nn.Linear(self.ends * hidden, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W) or signals (B, C, L)."""
        rows = inputs.transpose(1, 2).flatten(2)  # (B, H, C W) or (B, L, C)
        _, last = self.rnn(rows)
        hidden = last[0] if isinstance(last, tuple) else last  # an LSTM has the state of its cell besides
        logits: Tensor = self.head(hidden[-self.ends :].transpose(0, 1).flatten(1))
        return logits
