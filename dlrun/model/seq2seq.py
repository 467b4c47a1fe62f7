"""A sequence in, another one out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from dlrun.model.decoder import CELLS, Decoder, Memory, Writer


class Seq2Seq(Writer):
    """A recurrent encoder that reads from both ends, and a decoder (Sutskever et al. 2014; Bahdanau et al. 2015).

    Source: 001_6d5271d093cc63ab.txt, modèles séquence à séquence, mécanismes d'attention. Sequences are packed: the
    encoder ends where each of them ends, and padding changes nothing.

    Args:
        words: numbers of the vocabulary; 0 is padding, and ends what is written.
        shape: (L,), the numbers of a sequence, of what is written too.
        hidden: numbers of the decoder's state, an even number: the encoder's directions have half of it each.
        width: numbers of a word's vector.
        cell: ``lstm`` or ``gru``.
        attention: whether the decoder looks at what the encoder has read; else it has the encoder's last state alone.

    Raises:
        ValueError: an odd number, or inputs that are no texts.
    """

    def __init__(
        self,
        words: int | None,
        shape: Sequence[int] | None,
        hidden: int = 128,
        width: int = 32,
        cell: Literal["gru", "lstm"] = "lstm",
        attention: bool = True,
    ) -> None:
        super().__init__()
        if words is None or shape is None or len(shape) != 1:
            raise ValueError("seq2seq reads texts; expected dataset=addition, dataset=reversal, or one of one's own")
        if hidden % 2:
            raise ValueError(f"hidden={hidden}: expected an even number, half of it for each direction")
        self.embedding = nn.Embedding(words, width)
        self.encoder = CELLS[cell](width, hidden // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(hidden, hidden)
        self.length = shape[0]
        self.decoder = Decoder(words, hidden, hidden, width, cell, attention)

    def encode(self, inputs: Tensor) -> Memory:
        """The encoder's states along texts, int64 (B, L), and its last ones; an empty text is one of a single 0."""
        lengths = (inputs != 0).sum(dim=1).clamp(min=1)
        states, last = self.encoder(packed(self.embedding(inputs), lengths))
        hidden = last[0] if isinstance(self.encoder, nn.LSTM) else last
        there = torch.ones_like(inputs).cumsum(dim=1) <= lengths.unsqueeze(1)
        places = padded(states, inputs.shape[1])
        return Memory(self.bridge(hidden.transpose(0, 1).flatten(1)).tanh(), places, there)


@fx.wrap
def packed(vectors: Tensor, lengths: Tensor) -> Tensor | PackedSequence:
    """Vectors of sequences (B, L, width) without what is behind their lengths, (B,); one node to a tracer.

    On the meta device, which has no numbers, they stay as they are.
    """
    if vectors.is_meta:
        return vectors
    return pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)


@fx.wrap
def padded(states: Tensor | PackedSequence, length: int) -> Tensor:
    """What a network made of :func:`packed` sequences, (B, length, features), with zeros behind their ends."""
    return states if isinstance(states, Tensor) else pad_packed_sequence(states, True, total_length=length)[0]
