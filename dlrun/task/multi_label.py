"""Multi-label classification: every image may show several classes, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torchmetrics.functional.classification import multilabel_average_precision

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.samples import samples
from dlrun.task.task import Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder


class MultiLabelScores(Scores):
    """The logits and labels of a whole split, and the figures that follow from them."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, K)."""
        super().add(batch, loss, outputs)
        self._logits.append(outputs.float().cpu())
        self._targets.append(batch["target"].cpu())

    @property
    def probabilities(self) -> Tensor:
        """Of each label for itself, float (N, K)."""
        return torch.cat(self._logits).sigmoid()

    @property
    def targets(self) -> Tensor:
        """Which labels an image has, int64 (N, K)."""
        return torch.cat(self._targets).long()

    def per_class(self) -> Tensor:
        """The average precision of each label, float (K,); NaN for one that no image has."""
        targets = self.targets
        found = multilabel_average_precision(self.probabilities, targets, targets.shape[1], average="none")
        return found.where(targets.any(dim=0), torch.nan)

    def metrics(self) -> dict[str, float]:
        """The mean loss, the accuracy over labels, the share of images with all labels right, the mean precision."""
        exact = ((self.probabilities > 0.5) == self.targets.bool()).all(dim=1).float().mean()
        return {
            **super().metrics(),
            "exact_share": float(exact),
            "mean_average_precision": float(self.per_class().nanmean()),
        }


class MultiLabel(Task):
    """A yes or no for every label (001_6d5271d093cc63ab.txt, fonctions de coût): targets are float (B, K) of 0 and 1.

    Args:
        loss: of logits (B, K) and such targets: ``bce``.
        num_classes: labels.
    """

    needs = ("target",)
    monitor = "val/mean_average_precision"
    higher_is_better = {  # noqa: RUF012
        "loss": False,
        "accuracy": True,
        "exact_share": True,
        "mean_average_precision": True,
    }

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss and the model's logits."""
        logits = net(inputs(batch))
        return Forward(self.criterion(logits, batch["target"]), logits)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The share of labels that are right."""
        return {"accuracy": ((outputs > 0) == (batch["target"] > 0.5)).float().mean()}

    def scores(self) -> MultiLabelScores:
        """Empty scores."""
        return MultiLabelScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect a logit for each label."""
        if output.shape[1:] != (self.num_classes,):
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs; task=multi_label expects {self.num_classes}, one for each label")

    def check_batch(self, batch: Batch) -> None:
        """Expect a yes or no for each label of an example."""
        if batch["target"].ndim != 2:
            raise UserError(
                "task=multi_label: an example has one class; expected a 0 or 1 for each, task=classification"
            )

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """The average precision of every label; the first images with the labels that they were given."""
        found = cast(MultiLabelScores, scores)
        rows = zip(classes, found.per_class(), strict=True)
        recorder.table("average_precision", [{"class": name, "average_precision": float(one)} for name, one in rows])
        first = torch.arange(min(most, len(loader.source)))
        if len(first):
            captions = [
                f"{_named(probable > 0.5, classes)} (true: {_named(target.bool(), classes)})"
                for probable, target in zip(found.probabilities[first], found.targets[first], strict=True)
            ]
            recorder.figure(
                "labels",
                samples("What was said of them, and what is true", inputs(loader.examples(first)), captions),
                step,
            )


def _named(chosen: Tensor, classes: list[str]) -> str:
    return " ".join(classes[place] for place in torch.nonzero(chosen).flatten().tolist()) or "-"
