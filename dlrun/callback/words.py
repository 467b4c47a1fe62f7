"""The vectors that a network has learned for words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs
from dlrun.dataset.loader import Loader
from dlrun.dataset.vocabulary import SPECIAL, Tokens
from dlrun.errors import UserError, suggest

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer

TITLE = "Words, and those with the most similar vectors (cosine)"


class Words(Callback):
    """``nearest_words.csv``, its figure, and the vectors on TensorBoard's projector, of texts with classes.

    Args:
        words: whose neighbours to show; None takes of each class the word that tells most of it.
        nearest: neighbours of each.
        projector: so many of the most frequent words are there.
    """

    def __init__(self, words: list[str] | None = None, nearest: int = 5, projector: int = 2000) -> None:
        self.words, self.nearest, self.projector = words, nearest, projector

    def reads_network(self, data: Data) -> bool:
        """For the words' vectors, where there are texts."""
        return isinstance(next(iter(data.fields.values())), Tokens)

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse words that the vocabulary lacks."""
        field = next(iter(trainer.data.fields.values()))
        if not isinstance(field, Tokens):
            return
        for word in self.words or ():
            if word not in field.vocabulary.numbers:
                choices = list(field.vocabulary.words)
                raise UserError(f"callback.words.words={word}: not in the vocabulary; {suggest(word, choices)}")

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Draw the model that was tested."""
        field = next(iter(trainer.data.fields.values()))
        embedding = getattr(trainer.eval_model.network, "embedding", None)
        if not isinstance(field, Tokens) or embedding is None or not trainer.data.classes:
            return
        known = field.vocabulary
        vectors = embedding.weight.detach().float().cpu()[SPECIAL : len(known)]
        shown, classes = self.words, list[str]()
        if shown is None:
            classes = trainer.data.classes
            shown = [known.words[number - SPECIAL] for number in telling(trainer.data.train, len(known), len(classes))]
        places = torch.tensor([known.numbers[word] - SPECIAL for word in shown])
        found = nearest(vectors, places, self.nearest)
        rows = {
            word: [(known.words[place], value) for place, value in others]
            for word, others in zip(shown, found, strict=True)
        }
        recorder = trainer.recorder
        recorder.table(
            "nearest_words",
            [
                {"word": word, "nearest": other, "cosine": f"{value:.4f}"}
                for word, others in rows.items()
                for other, value in others
            ],
        )
        step = trainer.cursor.best_epoch
        from dlrun.figure.texts import neighbours  # matplotlib takes a moment to import

        recorder.figure("nearest_words", neighbours(TITLE, rows, classes if len(classes) == len(rows) else ()), step)
        recorder.embedding(vectors[: self.projector], known.words[: self.projector])


def nearest(vectors: Tensor, places: Tensor, count: int) -> list[list[tuple[int, float]]]:
    """Of vectors (N, D) at some places, (W,), the places of the ``count`` others with the largest cosine, and it."""
    unit = F.normalize(vectors, dim=1)
    likeness = unit[places] @ unit.T
    likeness[torch.arange(len(places)), places] = -torch.inf
    top = likeness.topk(min(count, len(vectors) - 1), dim=1)
    return [list(zip(*row, strict=True)) for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)]


def telling(train: Loader, words: int, classes: int) -> list[int]:
    """For each class the number of the word that tells most of it, each word for one class alone.

    That is the one with the largest ``p(word | class) log(p(word | class) / p(word))`` in the training texts.
    """
    counts = torch.zeros(classes, words)
    for batch in train.epoch():
        tokens = inputs(batch).cpu()
        rows = batch["target"].cpu().unsqueeze(1).expand_as(tokens)
        counts.index_put_((rows.flatten(), tokens.flatten()), torch.ones(tokens.numel()), accumulate=True)
    counts = counts[:, SPECIAL:]
    share = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    whole = counts.sum(dim=0) / counts.sum()
    tells = share * (share / whole.clamp(min=1e-12)).clamp(min=1e-12).log()
    found: list[int] = []
    for row in tells:
        ordered = row.argsort(descending=True)[: classes + 1].tolist()
        found.append(next(number for number in ordered if number + SPECIAL not in found) + SPECIAL)
    return found
