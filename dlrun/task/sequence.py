"""Sequences to be written: what training by teacher forcing and measuring by greedy decoding have in common."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dlrun.dataset.batch import Batch, inputs
from dlrun.errors import UserError
from dlrun.model.decoder import END, Writer
from dlrun.model.normalized import Normalized
from dlrun.task.task import Clock, Forward, Net, Scores, Task, plain


def counted(wanted: Tensor) -> Tensor:
    """Which places of sequences, int (B, L), count: all up to their end, and it, bool (B, L)."""
    ends = wanted == END
    return ends.cumsum(dim=1) == ends


def cut(written: Tensor) -> Tensor:
    """Sequences, int (B, L), with nothing behind their end."""
    return written.where(counted(written), END)


class SequenceScores(Scores):
    """What was written in a whole split, and what was to be written."""

    def __init__(self, task: Sequence) -> None:
        super().__init__(task)
        self.field = task.field
        self._written: list[Tensor] = []
        self._wanted: list[Tensor] = []
        self._weights: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, L, V) of what was written greedily."""
        super().add(batch, loss, outputs)
        self._written.append(outputs.argmax(dim=2).cpu())
        self._wanted.append(batch[self.field].cpu())
        self._weights.append(batch["attention"].float().cpu())

    @property
    def written(self) -> Tensor:
        """Numbers, int64 (N, L), 0 behind the end."""
        return cut(torch.cat(self._written))

    @property
    def wanted(self) -> Tensor:
        """The right ones, int64 (N, L), 0 behind the end."""
        return torch.cat(self._wanted)

    @property
    def exact(self) -> Tensor:
        """Which sequences are right from their first number to their end, bool (N,)."""
        return (self.written == self.wanted).all(dim=1)

    @property
    def weights(self) -> Tensor:
        """What was looked at for each number, float (N, L, S); zeros without attention."""
        return torch.cat(self._weights)


class Sequence(Task):
    """A sequence of numbers, int64 (B, L), to be written for each input; a 0 ends it, and fills what is behind.

    Training gives the decoder the right numbers before each one (teacher forcing; Williams and Zipser 1989); measures
    are taken of what it writes on its own, each time the most probable number (greedy decoding). The loss is the mean
    over the numbers up to the end, and it; what is behind counts for nothing. ``exact_match`` is the share of sequences
    that are right as a whole, ``token_accuracy`` the mean over sequences of the share of their numbers that are.

    Args:
        loss: of logits (T, V) and numbers (T,): cross-entropy.
        num_classes: of the dataset; unused.
        words: numbers of the vocabulary, V.
    """

    field: str
    """The entry of the batch that is to be written."""
    model: str
    """A network that suits it."""
    monitor = "val/exact_match"
    higher_is_better = {"loss": False, "exact_match": True, "token_accuracy": True}  # noqa: RUF012

    def __init__(self, loss: nn.Module, num_classes: int, words: int | None = None) -> None:
        super().__init__(loss, num_classes)
        self.words = words

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """A batch of its own, to which an evaluation adds."""
        return dict(batch)

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss with teacher forcing, and those logits."""
        whole, network = self._writer(net)
        written = network.teacher_forced(whole.normalize(inputs(batch)), batch[self.field])
        places = counted(batch[self.field])
        return Forward(self.criterion(written.logits[places], batch[self.field][places]), written.logits)

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """The loss with teacher forcing, and the logits of what is written greedily; ``attention`` joins the batch."""
        whole, network = self._writer(net)
        written = network.greedy(whole.normalize(inputs(batch)), batch[self.field].shape[1])
        batch["attention"] = written.weights
        return Forward(self.loss(net, batch).loss, written.logits)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Shares of sequences and of their numbers that are right; in training, after the right numbers."""
        wanted = batch[self.field]
        places = counted(wanted)
        right = (outputs.argmax(dim=2) == wanted) & places
        return {
            "exact_match": (right == places).all(dim=1).float().mean(),
            "token_accuracy": (right.sum(dim=1) / places.sum(dim=1)).mean(),
        }

    def weight(self, batch: Batch) -> float | Tensor:
        """The numbers that count."""
        return counted(batch[self.field]).sum()

    def scores(self) -> SequenceScores:
        """Empty scores."""
        return SequenceScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect logits of a number at each place."""
        if output.ndim != 3 or output.shape[2] != self.words:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs; expected {self.words} at each place, as of {self.model}")

    def check_batch(self, batch: Batch) -> None:
        """Expect an end within the places of a sequence."""
        wanted = batch[self.field]
        if not bool((wanted == END).any(dim=1).all()):
            raise UserError(
                f"dataset.source: {self.field} fills all its {wanted.shape[1]} places; expected one more, for its end"
            )

    def _writer(self, net: Net) -> tuple[Normalized, Writer]:
        whole = cast(Normalized, plain(net))
        if not isinstance(whole.network, Writer):
            raise UserError(f"model={type(whole.network).__name__}: writes no sequences; expected model={self.model}")
        return whole, whole.network
