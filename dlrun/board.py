"""A run's TensorBoard page: one run is one entry, with its hyperparameters in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes a run's events.

    Args:
        folder: the run's folder.
        images: the most images in a grid; 0 draws none.
    """

    def __init__(self, folder: Path, images: int = 16) -> None:
        self.writer = SummaryWriter(str(folder))
        self.images = images

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Points of curves, by tag."""
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)

    def layout(self, metrics: list[str]) -> None:
        """Charts that show training and validation in one, for each of these metrics (``loss``, ``accuracy``)."""
        charts = {name: ["Multiline", [f"train/{name}", f"val/{name}"]] for name in metrics}
        self.writer.add_custom_scalars({"train and val": charts})

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""
        self.writer.add_text(tag, "\n".join(f"    {line}" for line in text.splitlines()))

    def figure(self, tag: str, figure: Figure, step: int) -> None:
        """A matplotlib figure."""
        if self.images:
            self.writer.add_figure(tag, figure, step, close=False)

    def graph(self, model: nn.Module, images: Tensor) -> None:
        """The model's graph, traced on a batch."""
        self.writer.add_graph(model, images)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: list[str], step: int) -> None:
        """A precision-recall curve for each class, against all others."""
        for number, name in enumerate(classes):
            self.writer.add_pr_curve(f"pr/{name}", targets == number, probabilities[:, number], step)

    def hparams(self, hparams: dict[str, Any], metrics: list[str]) -> None:
        """Hyperparameters, beside the scalars with these tags in TensorBoard's table of runs."""

    def close(self) -> None:
        """Write out what is left."""
        self.writer.close()
