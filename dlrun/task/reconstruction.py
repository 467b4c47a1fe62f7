"""Reconstruction: the target of an image is the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.figure.image_rows import image_rows
from dlrun.task.task import Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder


TITLE = "Images, and what the network brings back of them"


class ReconstructionScores(Scores):
    """The mean loss of a split, and its first images with what became of them."""

    KEPT = 12

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._kept: list[tuple[Tensor, Tensor]] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and reconstructions (B, C, H, W)."""
        if self.examples < self.KEPT:
            self._kept.append((batch["image"].cpu(), outputs.float().cpu()))
        super().add(batch, loss, outputs)

    @property
    def kept(self) -> tuple[Tensor, Tensor]:
        """The first images and their reconstructions, float (n, C, H, W) each."""
        images, outputs = (torch.cat(parts)[: self.KEPT] for parts in zip(*self._kept, strict=True))
        return images, outputs


class Reconstruction(Task):
    """An autoencoder's task (000_9560d611d10ac6dd.txt, autoencodeurs): the output is compared with the image itself.

    Outputs are in the pixels' range [0,1], so with ``loss=mse`` the loss is the mean squared error of a pixel.

    Args:
        loss: takes outputs and images of one shape.
        num_classes: of the dataset; unused.
        channels: of its images.
        image_size: their side in pixels.
    """

    needs = ("image",)
    monitor = "val/loss"

    def __init__(self, loss: nn.Module, num_classes: int, channels: int, image_size: int) -> None:
        super().__init__(loss, num_classes)
        self.shape = (channels, image_size, image_size)

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The model's reconstructions and their loss."""
        outputs = net(batch["image"])
        return Forward(self.criterion(outputs, batch["image"]), outputs)

    def scores(self) -> ReconstructionScores:
        """Empty scores."""
        return ReconstructionScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect an image of the input's shape."""
        if output.shape[1:] != self.shape:
            found, wanted = ("x".join(map(str, shape)) for shape in (output.shape[1:], self.shape))
            raise ValueError(f"gives {found} for an image of {wanted}; expected a reconstruction, as of autoencoder")

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Images above their reconstructions."""
        images, outputs = cast(ReconstructionScores, scores).kept
        if most:
            recorder.figure("reconstructions", image_rows(TITLE, {"image": images, "reconstruction": outputs}), step)
