"""Sequence to sequence: an answer for a question, both of numbers of letters or words."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.field import Field
from dlrun.dataset.loader import Loader
from dlrun.experiment.statistics import wilson
from dlrun.figure.attention import Aligned, alignments, by_length
from dlrun.task.sequence import Sequence, SequenceScores, counted
from dlrun.task.task import Scores

if TYPE_CHECKING:
    from torch import Tensor

    from dlrun.record.recorder import Recorder

PANELS = 2
"""Questions whose attention is drawn."""
AXES = ("letters of the question", "share of answers that are right")


class Seq2SeqScores(SequenceScores):
    """The questions too."""

    def __init__(self, task: Seq2Seq) -> None:
        super().__init__(task)
        self._questions: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, L, V) of what was written greedily."""
        super().add(batch, loss, outputs)
        self._questions.append(inputs(batch).cpu())

    @property
    def questions(self) -> Tensor:
        """Numbers, int64 (N, S), 0 behind the end."""
        return torch.cat(self._questions)

    @property
    def lengths(self) -> Tensor:
        """Letters of each question, int64 (N,)."""
        return (self.questions != 0).sum(dim=1)

    def by_length(self) -> dict[int, tuple[int, int]]:
        """For each length of a question how many answers are right, and how many there are."""
        totals = self.lengths.bincount().tolist()
        right = self.lengths[self.exact].bincount(minlength=len(totals)).tolist()
        return {length: (right[length], total) for length, total in enumerate(totals) if total}


class Seq2Seq(Sequence):
    """Answers, the entry ``answer`` of a batch, for questions.

    Source: 001_6d5271d093cc63ab.txt, modèles séquence à séquence, mécanismes d'attention.
    """

    field = "answer"
    needs = ("answer",)
    model = "model=seq2seq"

    def scores(self) -> Seq2SeqScores:
        """Empty scores."""
        return Seq2SeqScores(self)

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Accuracy over the length of the question, what was answered, and what was looked at for it."""
        found, counts = cast(Seq2SeqScores, scores), cast(Seq2SeqScores, scores).by_length()
        question, answer = next(iter(loader.fields.values())), loader.fields[self.field]
        texts = [question.shown(found.questions), answer.shown(found.wanted), answer.shown(found.written)]
        names = ("question", "answer", "written", "correct")
        rows = [dict(zip(names, row, strict=True)) for row in zip(*texts, found.exact.int().tolist(), strict=True)]
        recorder.table("predictions", rows)
        recorder.curve("length", AXES, [(length, right / total) for length, (right, total) in counts.items()])
        if not most:
            return
        recorder.figure("length", by_length(AXES, {n: (*pair, *wilson(*pair)) for n, pair in counts.items()}), step)
        if bool(found.weights.any()):
            recorder.figure("attention", alignments(self._aligned(found, question, answer)), step)

    @staticmethod
    def _aligned(found: Seq2SeqScores, question: Field, answer: Field) -> list[Aligned]:
        """The longest questions and their answers letter by letter, with the weights between them."""
        pairs = []
        for number in found.lengths.argsort(descending=True, stable=True)[:PANELS].tolist():
            read = found.questions[number, : found.lengths[number]]
            written = found.written[number, : int(counted(found.written[[number]]).sum())]
            letters = [list(field.shown(row.unsqueeze(1))) for field, row in ((question, read), (answer, written))]
            pairs.append((letters[0], letters[1], found.weights[number, : len(written), : len(read)]))
        return cast(list[Aligned], pairs)
