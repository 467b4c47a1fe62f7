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
    """The mean loss of a split, and what its images and captions became."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._kept: list[tuple[Tensor, ...]] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and the vectors of images and captions, float (B, 2, D)."""
        super().add(batch, loss, outputs)
        held_out = batch.get("held_out", torch.zeros(len(outputs)))
        kept = inputs(batch), batch["caption"], held_out, outputs.float()
        self._kept.append(tuple(each.cpu() for each in kept))

    def shown(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images, captions, whether they are held out, and vectors of the first that differ, half of them held out."""
        images, captions, held_out, vectors = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        first: dict[tuple[int, ...], int] = {}
        for place, text in enumerate(captions.tolist()):
            first.setdefault(tuple(text), place)
        new = [place for place in first.values() if held_out[place]][: SHOWN // 2]
        places = [place for place in first.values() if not held_out[place]][: SHOWN - len(new)] + new
        return images[places], captions[places], held_out[places].bool(), vectors[places]


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
            recorder.figure("similarity", similarity(images, texts, held_out, vectors[:, 1] @ vectors[:, 0].T), step)


def describing(network: object) -> Describing:
    """A network, if it has a place for texts.

    Raises:
        UserError: it has none.
    """
    if not isinstance(network, Describing):
        raise UserError(f"model={type(network).__name__}: task=clip needs a network of images and texts; expected clip")
    return network
