"""What a task is: the meaning of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure
from torch import Tensor, nn

from dlrun.dataset.batch import Batch
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.model.normalized import Normalized

if TYPE_CHECKING:
    from dlrun.logger.board import Board
    from dlrun.training.trainer import Trainer


class Forward(NamedTuple):
    """The loss of a batch, a scalar (mean over its examples), and the model's outputs."""

    loss: Tensor
    outputs: Tensor


class Scores(ABC):
    """What a pass over a split gathers."""

    @abstractmethod
    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss and the model's outputs."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """The figures of the whole pass by name, without the split: ``{"loss": ..., "accuracy": ...}``."""


class Task(ABC):
    """Gives a batch its meaning: how the model is applied, what it loses, how it is measured and shown.

    Args:
        loss: the loss function of the config.
        num_classes: of the dataset.
    """

    monitor: str
    """The metric that chooses the best checkpoint, such as ``val/accuracy``."""
    metric_names: tuple[str, ...]
    """The names of its metrics, without the split."""

    def __init__(self, loss: nn.Module, num_classes: int) -> None:
        self.loss = loss
        self.num_classes = num_classes

    @abstractmethod
    def forward(self, model: Callable[[Tensor], Tensor], batch: Batch) -> Forward:
        """Apply the model to a batch and compute its loss."""

    @abstractmethod
    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars, each a mean over the batch, that are averaged over a training epoch."""

    @abstractmethod
    def scores(self) -> Scores:
        """Empty scores, to gather those of one pass over a split."""

    @abstractmethod
    def check_output(self, output: Tensor) -> None:
        """Refuse a model whose output for one image (1, ...) does not suit the task.

        Raises:
            ValueError: says what the output is and what was expected.
        """

    def log_scores(self, board: Board, scores: Scores, loader: Loader, classes: list[str], step: int) -> None:
        """Draw what the scores of a split look like on a TensorBoard; nothing by default."""

    def figures(self, model: Normalized, data: Data) -> dict[str, Figure]:
        """Pictures by name of what a finished model does; none by default."""
        return {}

    def training_step(self, trainer: Trainer, batches: list[Batch]) -> dict[str, Tensor]:
        """One optimizer step on one batch, or on several whose gradients accumulate.

        The default serves every task with one loss and one optimizer; a task with two of them (a GAN) owns its step.

        Returns:
            Scalars, means over the examples: ``loss`` and the :meth:`batch_metrics`.
        """
        return trainer.optimize(batches)
