"""Regression: numbers to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.residuals import residuals
from dlrun.task.task import Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder


class RegressionScores(Scores):
    """The predictions of a whole split, in the units of the data."""

    def __init__(self, task: Regression) -> None:
        super().__init__(task)
        self._scaled = task
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and outputs (B, K)."""
        super().add(batch, loss, outputs)
        self._inputs.append(inputs(batch).cpu())
        self._outputs.append(outputs.float().cpu())
        self._targets.append(batch["target"].float().cpu())

    @property
    def inputs(self) -> Tensor:
        """What the network read, (N, ...)."""
        return torch.cat(self._inputs)

    @property
    def targets(self) -> Tensor:
        """What was to be predicted, float (N, K)."""
        return torch.cat(self._targets)

    @property
    def predictions(self) -> Tensor:
        """What was predicted, float (N, K)."""
        mean, std = self._scaled.scale(torch.device("cpu"))
        return torch.cat(self._outputs) * std + mean

    def metrics(self) -> dict[str, float]:
        """The mean loss; the squared error in the data's units and the share of the variance explained (R2)."""
        targets, error = self.targets.double(), (self.predictions.double() - self.targets.double()).square()
        spread = (targets - targets.mean(dim=0)).square()
        r2 = (1 - error.sum(dim=0) / spread.sum(dim=0).clamp(min=1e-30)).mean()
        return {**super().metrics(), "mse": float(error.mean()), "r2": float(r2)}


class Regression(Task):
    """Numbers to predict, float (B, K) (001_6d5271d093cc63ab.txt, régression).

    The network predicts numbers of mean 0 and deviation 1, and the loss is measured on those; what is reported and
    drawn is in the data's units again. R2 is 1 for a perfect prediction and 0 for that of the test's mean.

    Args:
        loss: of outputs and such targets: ``mse``.
        num_classes: numbers to predict, K.
        mean: of each of them; None until :mod:`dlrun.build` has measured it on the training data.
        std: the same of the deviation.
    """

    needs = ("target",)
    monitor = "val/mse"
    higher_is_better = {"loss": False, "mse": False, "r2": True}  # noqa: RUF012

    def __init__(
        self,
        loss: nn.Module,
        num_classes: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(loss, num_classes)
        self.mean, self.std = list(mean or [0.0] * num_classes), list(std or [1.0] * num_classes)

    def scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the numbers, float (K,) each."""
        return torch.tensor(self.mean, device=device), torch.tensor(self.std, device=device)

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss and the model's outputs, both of numbers of mean 0 and deviation 1."""
        outputs, targets = net(inputs(batch)), batch["target"].float()
        mean, std = self.scale(targets.device)
        return Forward(self.criterion(outputs, (targets - mean) / std), outputs)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The squared error in the data's units."""
        mean, std = self.scale(outputs.device)
        return {"mse": (outputs * std + mean - batch["target"]).square().mean()}

    def scores(self) -> RegressionScores:
        """Empty scores."""
        return RegressionScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect as many numbers as are to be predicted."""
        if output.shape[1:] != (self.num_classes,):
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs; task=regression expects {self.num_classes}")

    def check_batch(self, batch: Batch) -> None:
        """Expect numbers, not classes."""
        if not batch["target"].is_floating_point() or batch["target"].ndim != 2:
            raise UserError("task=regression: the data has classes and no numbers; expected task=classification")

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """What is left of the data when the prediction is taken away."""
        found = cast(RegressionScores, scores)
        if most:
            recorder.figure("residuals", residuals(found.inputs, found.targets, found.predictions), step)
