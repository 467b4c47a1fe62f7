"""Contrastive training of images and their captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.similarity import similarity
from dlrun.model.clip import Describing
from dlrun.task.task import Forward, Net, Scores, Task, plain

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

SHOWN = 8
"""Images in the picture."""


class ClipScores(Scores):
    """The mean loss of a split, and its first images of different captions, of those held out too."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._kept: dict[bool, dict[tuple[int, ...], tuple[Tensor, ...]]] = {False: {}, True: {}}

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and the vectors of images and captions, float (B, 2, D)."""
        super().add(batch, loss, outputs)
        held_out = batch.get("held_out", torch.zeros(len(outputs)))
        parts = (inputs(batch), batch["caption"], held_out, outputs.float())
        for place, (text, is_new) in enumerate(zip(batch["caption"].tolist(), held_out.tolist(), strict=True)):
            kept = self._kept[bool(is_new)]
            if len(kept) < SHOWN and tuple(text) not in kept:
                kept[tuple(text)] = tuple(part[place].cpu() for part in parts)

    def shown(self) -> tuple[Tensor, ...]:
        """Images, captions, whether they are held out, and vectors (n, 2, D); of half they are, where there are any."""
        new = list(self._kept[True].values())[: SHOWN // 2]
        known = list(self._kept[False].values())[: SHOWN - len(new)]
        return tuple(torch.stack(part) for part in zip(*known, *new, strict=True))


class Clip(Task):
    """Of many captions an image shall choose its own, and a caption its image (003_7190ac02314fafbe.txt, CLIP).

    Images and texts become vectors in one space; a text that no training had is a place in it too.

    Args:
        loss: of vectors of images and of captions (B, D) each, and a scale: ``symmetric_contrastive``.
        num_classes: of the dataset; unused.
    """

    needs = ("image", "caption")
    monitor = "val/loss"

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss, and the vectors of images and captions, (B, 2, D)."""
        network = describing(plain(net).get_submodule("network"))
        images, texts = net(inputs(batch)), network.describe(batch["caption"])
        return Forward(self.criterion(images, texts, network.scale()), torch.stack([images, texts], dim=1))

    def scores(self) -> ClipScores:
        """Empty scores."""
        return ClipScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect a vector."""
        if output.ndim != 2 or output.shape[1] < 2:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs for an image; task=clip expects a vector, as of model=clip")

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """How well some images and captions fit each other."""
        if most:
            images, captions, held_out, vectors = cast(ClipScores, scores).shown()
            texts = cast(list[str], loader.fields["caption"].shown(captions))
            recorder.figure(
                "similarity", similarity(images, texts, held_out.bool(), vectors[:, 1] @ vectors[:, 0].T), step
            )


def describing(network: object) -> Describing:
    """A network, if it has a place for texts.

    Raises:
        UserError: it has none.
    """
    if not isinstance(network, Describing):
        raise UserError(f"model={type(network).__name__}: task=clip needs a network of images and texts; expected clip")
    return network
