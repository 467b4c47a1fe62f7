"""Siamese training: do two images show the same class?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.embedding import embedding
from dlrun.task.task import Clock, Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

PAIRS = 10_000
"""Of each kind, same and different, on which a split is measured."""


def pairs(targets: Tensor, count: int, same: bool, seed: int = 0) -> Tensor:
    """Pairs of different images, of one class or of two, drawn by seed with replacement.

    Args:
        targets: the class of each image, int64 (N,).
        count: of pairs.
        same: those of one class, or those of two.
        seed: the same one draws the same pairs.

    Returns:
        Places in ``targets``, int64 (count, 2); none where there are no such pairs.
    """
    rng = np.random.default_rng(seed)
    order = targets.argsort(stable=True)
    sizes = targets.bincount()
    # In the order by class, a class is a run of places: its partners follow in it, those of others behind it.
    own, begin = sizes[targets[order]], (sizes.cumsum(0) - sizes)[targets[order]]
    choices = own - 1 if same else len(targets) - own
    possible = torch.nonzero(choices > 0).flatten()
    if not len(possible):
        return torch.empty(0, 2, dtype=torch.int64)
    first = possible[torch.from_numpy(rng.integers(0, len(possible), count))]
    step = torch.from_numpy(rng.integers(0, choices[first].numpy()))
    if same:
        second = begin[first] + (first - begin[first] + 1 + step) % own[first]
    else:
        second = (begin[first] + own[first] + step) % len(targets)
    return order[torch.stack([first, second], dim=1)]


class SiameseScores(Scores):
    """The embeddings of a split, and how well their distances tell the same class from another one."""

    def __init__(self, task: Siamese) -> None:
        super().__init__(task)
        self.held_out = task.held_out
        self._embeddings: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and embeddings (B, D)."""
        super().add(batch, loss, outputs)
        self._embeddings.append(outputs.float().cpu())
        self._targets.append(batch["target"].cpu())

    @property
    def embeddings(self) -> Tensor:
        """Of all images, float (N, D)."""
        return torch.cat(self._embeddings)

    @property
    def targets(self) -> Tensor:
        """Their classes, int64 (N,)."""
        return torch.cat(self._targets)

    def distances(self, held_out: bool) -> tuple[Tensor, Tensor]:
        """Distances within pairs of one class, and of two, float (P,) each: of the classes trained on, or held out."""
        chosen = torch.isin(self.targets, torch.tensor(self.held_out, dtype=torch.int64)) == held_out
        embeddings, targets = self.embeddings[chosen], self.targets[chosen]
        drawn = (pairs(targets, PAIRS, same) for same in (True, False))
        within, between = ((embeddings[of[:, 0]] - embeddings[of[:, 1]]).norm(dim=1) for of in drawn)
        return within, between

    def auc(self, held_out: bool) -> float:
        """How often a pair of one class is closer than a pair of two; NaN where one kind is missing."""
        within, between = self.distances(held_out)
        if not len(within) or not len(between):
            return float("nan")
        same = torch.cat([torch.ones(len(within)), torch.zeros(len(between))]).long()
        nearness = -torch.cat([within, between])
        scaled = (nearness - nearness.min()) / (nearness.max() - nearness.min()).clamp(min=1e-12)  # probabilities stay
        return float(binary_auroc(scaled, same))

    def metrics(self) -> dict[str, float]:
        """The mean loss, and the area under the ROC curve of same against different."""
        found = {**super().metrics(), "auc": self.auc(held_out=False)}
        return {**found, "held_out_auc": self.auc(held_out=True)} if self.held_out else found


class Siamese(Task):
    """One encoder looks at both images of a pair, and images of one class shall come out close to each other.

    Every batch stands for all its pairs. The encoder goes over each image once, which gives the loss and the gradients
    of two encoders with the same weights that go over every pair (000_9560d611d10ac6dd.txt, réseaux siamois); its
    weights are counted once. The model's outputs are the embedding: ``model.num_classes`` numbers.

    Args:
        loss: of embeddings (B, D) and classes (B,): ``contrastive``.
        num_classes: of the dataset.
        held_out: numbers of classes that the training does not see; ``held_out_auc`` is measured on pairs of them.

    Raises:
        UserError: no such class, or fewer than two are left to train on, or one alone is held out.
    """

    needs = ("target",)
    monitor = "val/auc"

    def __init__(self, loss: nn.Module, num_classes: int, held_out: Sequence[int] = ()) -> None:
        super().__init__(loss, num_classes)
        self.held_out = sorted({*held_out})
        self.higher_is_better = {"loss": False, "auc": True, **({"held_out_auc": True} if held_out else {})}
        if not num_classes:  # only the data will tell
            return
        strange = [number for number in self.held_out if not 0 <= number < num_classes]
        if strange or len(self.held_out) == 1 or len(self.held_out) > num_classes - 2:
            raise UserError(
                f"task.held_out=[{','.join(map(str, self.held_out))}]: expected none, or two or more of the classes"
                f" 0 to {num_classes - 1}, with two left to train on"
            )

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """In training, the images of classes that are not held out."""
        if not clock.training or not self.held_out:
            return batch
        targets = batch["target"]
        seen = ~torch.isin(targets, torch.tensor(self.held_out, device=targets.device))
        return {name: values[seen] for name, values in batch.items()}

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss of all pairs, and the embeddings."""
        embeddings = net(inputs(batch))
        return Forward(self.criterion(embeddings, batch["target"]), embeddings)

    def scores(self) -> SiameseScores:
        """Empty scores."""
        return SiameseScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect an embedding of two numbers or more."""
        if output.ndim != 2 or output.shape[1] < 2:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs for an image; task=siamese expects an embedding, two or more")

    def check_split(self, name: str, targets: Tensor | None, classes: list[str]) -> None:
        """Expect two images of every class, so that each has a partner."""
        if targets is None:
            raise UserError("task=siamese: the dataset does not tell its classes; expected one for each image")
        for number, count in enumerate(targets.bincount(minlength=len(classes)).tolist()):
            if count == 1:
                raise UserError(
                    f"task=siamese: the class {classes[number]} has one image in the split {name}; a pair needs two,"
                    " expected more images, or dataset.classes without it"
                )

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """The embedding as a picture, and the distances within and between classes."""
        found = cast(SiameseScores, scores)
        held_out = [classes[number] for number in self.held_out]
        distances = found.distances(held_out=bool(held_out))
        recorder.figure("embedding", embedding(found.embeddings, found.targets, classes, held_out, *distances), step)
