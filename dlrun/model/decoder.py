"""A recurrent decoder: it writes a sequence number by number, and may look at what an encoder has kept."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from dlrun.model.attention import attend

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
"""By the names of the option ``cell``."""
END = 0
"""The number that ends a sequence, fills what is behind its end, and stands before its beginning."""


class Memory(NamedTuple):
    """What an encoder has made of its input."""

    summary: Tensor
    """Where the decoder begins, float (B, hidden)."""
    places: Tensor
    """What it may look at, float (B, S, features)."""
    there: Tensor | None = None
    """Which of the places hold something, bool (B, S), one of each row or more; None for all."""
    keys: Tensor | None = None
    """What the places are found by, float (B, S, features); None for what they are."""


class Written(NamedTuple):
    """What a decoder gives."""

    logits: Tensor
    """Of the number at each place, float (B, L, V)."""
    weights: Tensor
    """What was looked at for each of them, float (B, L, S); zeros without attention."""


class Decoder(nn.Module):
    """An LSTM or GRU that is given the numbers so far, and attention over the memory (Luong et al. 2015, dot product).

    Args:
        words: numbers of the vocabulary; 0 ends a sequence.
        features: numbers of each place of the memory.
        hidden: numbers of the state.
        width: numbers of a word's vector.
        cell: ``lstm`` or ``gru``.
        attention: look at the memory; without it, the state that it begins with is all that is known.
    """

    def __init__(
        self,
        words: int,
        features: int,
        hidden: int = 128,
        width: int = 32,
        cell: Literal["gru", "lstm"] = "lstm",
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.attends = attention
        self.embedding = nn.Embedding(words, width)
        self.rnn = CELLS[cell](width, hidden, batch_first=True)
        if attention:
            self.query = nn.Linear(hidden, hidden, bias=False)
            self.key = nn.Linear(features, hidden, bias=False)
            self.combine = nn.Linear(hidden + features, hidden)
        self.head = nn.Linear(hidden, words)

    def teacher_forced(self, memory: Memory, wanted: Tensor) -> Written:
        """What is written where each number before is the right one, int64 (B, L)."""
        before = torch.cat([torch.full_like(wanted[:, :1], END), wanted[:, :-1]], dim=1)
        return self._step(before, self._begin(memory), memory)[0]

    def greedy(self, memory: Memory, length: int) -> Written:
        """So many numbers, each after the most probable one."""
        state, steps = self._begin(memory), list[Written]()
        number = torch.full_like(memory.summary[:, :1], END, dtype=torch.int64)
        for _ in range(length):
            written, state = self._step(number, state, memory)
            number = written.logits.argmax(dim=2)
            steps.append(written)
        logits, weights = (torch.cat(parts, dim=1) for parts in zip(*steps, strict=True))
        return Written(logits, weights)

    def _begin(self, memory: Memory) -> Any:
        hidden = memory.summary.unsqueeze(0).contiguous()
        return (hidden, torch.zeros_like(hidden)) if isinstance(self.rnn, nn.LSTM) else hidden

    def _step(self, before: Tensor, state: Any, memory: Memory) -> tuple[Written, Any]:
        """What follows numbers, int64 (B, T), from a state; and the next state."""
        found, state = self.rnn(self.embedding(before), state)
        if not self.attends:
            nowhere = memory.places.new_zeros(found.shape[0], found.shape[1], memory.places.shape[1])
            return Written(self.head(found), nowhere), state
        keys = self.key(memory.places if memory.keys is None else memory.keys)
        seen, weights = attend(self.query(found), keys, memory.places, memory.there)
        found = self.combine(torch.cat([found, seen], dim=2)).tanh()
        return Written(self.head(found), weights), state


class Writer(nn.Module):
    """The base of networks that write a sequence: an encoder makes a memory, a decoder writes.

    As a function of its input alone it decodes greedily. A task calls :meth:`teacher_forced` and :meth:`greedy`.
    """

    decoder: Decoder
    length: int
    """Numbers that it writes, the end included."""

    def encode(self, inputs: Tensor) -> Memory:
        """What the encoder makes of inputs."""
        raise NotImplementedError

    def teacher_forced(self, inputs: Tensor, wanted: Tensor) -> Written:
        """What is written where each number before is the right one, int64 (B, L)."""
        return self.decoder.teacher_forced(self.encode(inputs), wanted)

    def greedy(self, inputs: Tensor, length: int) -> Written:
        """What is written where each number before is the most probable one, so many numbers."""
        return self.decoder.greedy(self.encode(inputs), length)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, L, V) of the sequence that is written greedily."""
        return self.greedy(inputs, self.length).logits
