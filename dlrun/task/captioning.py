"""Captioning: a text that describes an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.figure.attention import captions
from dlrun.figure.image_grid import image_grid
from dlrun.figure.text import percent
from dlrun.task.sequence import Sequence, SequenceScores
from dlrun.task.task import Scores

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

ROWS = 6
"""Images whose attention is drawn."""


class CaptioningScores(SequenceScores):
    """Which combinations were held out too."""

    def __init__(self, task: Captioning) -> None:
        super().__init__(task)
        self._held_out: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, L, V) of what was written greedily."""
        super().add(batch, loss, outputs)
        self._held_out.append(batch["held_out"].bool().cpu())

    @property
    def held_out(self) -> Tensor:
        """Which images show a combination that was not trained on, bool (N,)."""
        return torch.cat(self._held_out)

    def metrics(self) -> dict[str, float]:
        """The mean loss and shares of the base; the exact matches among combinations seen, and held out.

        A split without images of a kind has NaN.
        """
        found = super().metrics()
        for name, chosen in (("seen", ~self.held_out), ("held_out", self.held_out)):
            found[f"{name}_exact_match"] = float(self.exact[chosen].double().mean()) if bool(chosen.any()) else math.nan
        return found


class Captioning(Sequence):
    """Captions, the entry ``caption`` of a batch, for images (001_6d5271d093cc63ab.txt, image captioning).

    ``held_out`` says of each image whether the training has no such combination: the two kinds are measured apart.
    """

    field = "caption"
    needs = ("image", "caption", "held_out")
    model = "model=captioner"
    higher_is_better = {  # noqa: RUF012
        "loss": False,
        "exact_match": True,
        "token_accuracy": True,
        "seen_exact_match": True,
        "held_out_exact_match": True,
    }

    def scores(self) -> CaptioningScores:
        """Empty scores."""
        return CaptioningScores(self)

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """All captions in a table, images with theirs, and where the decoder looked for each word."""
        found = cast(CaptioningScores, scores)
        field = loader.fields[self.field]
        wanted, written = (cast(list[str], field.shown(numbers)) for numbers in (found.wanted, found.written))
        rows = zip(wanted, written, found.held_out.tolist(), found.exact.tolist(), strict=True)
        recorder.table(
            "predictions",
            [
                {"caption": right, "written": text, "held_out": int(held_out), "correct": int(exact)}
                for right, text, held_out, exact in rows
            ],
        )
        unseen, seen = torch.nonzero(found.held_out).flatten(), torch.nonzero(~found.held_out).flatten()
        chosen = torch.cat([unseen[: (most + 1) // 2], seen])[:most]
        if not len(chosen):
            return
        images = inputs(loader.examples(chosen))
        texts = [written[number] for number in chosen.tolist()]
        recorder.figure("captions", image_grid(self._title(found), images, texts), step)
        maps = found.weights[chosen]
        side = math.isqrt(maps.shape[2])
        if bool(maps.any()) and side**2 == maps.shape[2]:
            first = chosen[:ROWS].tolist()
            pair = ([texts[number].split() for number in first] for texts in (written, wanted))
            title = "Where the decoder looks as it writes each word; wrong words in bold"
            looked = maps[:ROWS].view(len(first), -1, side, side)
            recorder.figure("attention", captions(title, images[:ROWS], looked, *pair), step)

    @staticmethod
    def _title(found: CaptioningScores) -> str:
        shares = {name.removesuffix("_exact_match"): value for name, value in found.metrics().items()}
        parts = [
            f"{percent(shares[name])} of {what}"
            for name, what in (("held_out", "combinations held out"), ("seen", "those seen"))
            if not math.isnan(shares[name])
        ]
        return f"Captions that are right as a whole: {', '.join(parts)}"
