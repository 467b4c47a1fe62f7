"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from dlrun.dataset.batch import Batch, size
from dlrun.dataset.loader import Loader
from dlrun.figure.segmentation import segmentation
from dlrun.loss.weight import weight
from dlrun.task.confusion import confusion
from dlrun.task.task import Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder


def predicted(logits: Tensor) -> Tensor:
    """The class of every pixel, int64 (B, H, W), of logits (B, K, H, W); ``argmax`` gives the same ten times slower."""
    return logits.max(dim=1).indices


class SegmentationScores(Scores):
    """How pixels of each class were classified, and the first images with their masks."""

    KEPT = 6

    def __init__(self, task: Segmentation) -> None:
        super().__init__(task)
        self.background = task.background
        self.counts = torch.zeros(task.num_classes, task.num_classes, dtype=torch.int64)
        """Pixels: a row for each true class, a column for each predicted one."""
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, K, H, W)."""
        predictions = predicted(outputs)
        if self.examples < self.KEPT:
            self._kept.append((batch["image"].cpu(), batch["mask"].cpu(), predictions.cpu()))
        super().add(batch, loss, outputs)
        self.counts += confusion(predictions, batch["mask"], len(self.counts)).cpu()

    @property
    def kept(self) -> tuple[Tensor, Tensor, Tensor]:
        """The first images, float (n, C, H, W), their masks and the predicted ones, int64 (n, H, W)."""
        images, masks, predictions = (torch.cat(parts)[: self.KEPT] for parts in zip(*self._kept, strict=True))
        return images, masks, predictions

    def per_class(self) -> Tensor:
        """Intersection over union of each class, float (K,); NaN for a class that neither occurs nor is predicted."""
        right = self.counts.diagonal()
        return right / (self.counts.sum(dim=0) + self.counts.sum(dim=1) - right)

    def metrics(self) -> dict[str, float]:
        """The mean loss, the accuracy over pixels, and the mean IoU over the classes that are not the background."""
        ious = self.per_class()
        if self.background is not None:
            ious[self.background] = torch.nan
        return {**super().metrics(), "mean_iou": float(ious.nanmean())}


class Segmentation(Task):
    """A class for every pixel; the loss takes logits (B, K, H, W) and masks of class numbers (B, H, W).

    Args:
        loss: such as cross-entropy.
        num_classes: the background among them.
        background: the class that is left out of the mean over classes; None for none.
    """

    needs = ("image", "mask")
    monitor = "val/mean_iou"
    higher_is_better = {"loss": False, "accuracy": True, "mean_iou": True}  # noqa: RUF012

    def __init__(self, loss: nn.Module, num_classes: int, background: int | None = None) -> None:
        super().__init__(loss, num_classes)
        if background is not None and not 0 <= background < num_classes:
            raise ValueError(f"background={background}: expected a class, 0 to {num_classes - 1}, or null")
        self.background = background

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss and the logits of all pixels."""
        logits = net(batch["image"])
        return Forward(self.criterion(logits, batch["mask"]), logits)

    def weight(self, batch: Batch) -> float | Tensor:
        """That of its pixels."""
        return weight(self.criterion, batch["mask"], size(batch))

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The share of pixels that are right."""
        return {"accuracy": (predicted(outputs) == batch["mask"]).float().mean()}

    def scores(self) -> SegmentationScores:
        """Empty scores."""
        return SegmentationScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect a logit for each class at every pixel."""
        if output.ndim != 4 or output.shape[1] != self.num_classes:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} for an image; expected {self.num_classes} logits a pixel, as of unet")

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Images with their masks and the predicted ones; the IoU of every class."""
        found = cast(SegmentationScores, scores)
        recorder.table(
            "iou", [{"class": name, "iou": float(iou)} for name, iou in zip(classes, found.per_class(), strict=True)]
        )
        if most:
            recorder.figure("segmentation", segmentation(*found.kept, classes), step)
