"""Classification: one class for every image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.loss.weight import is_nll
from dlrun.model.logits import class_logits
from dlrun.task.confusion import confusion
from dlrun.task.task import Forward, Net, Scores, Task

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder


NLL = "nll"
"""The metric beside a loss that is another: minus the log of the probability of an example's class, in nats."""


def hard(targets: Tensor) -> Tensor:
    """Class indices, also of mixed targets."""
    return targets.argmax(dim=1) if targets.ndim == 2 else targets


class ClassificationScores(Scores):
    """The logits and targets of a whole split, and the figures that follow from them."""

    def __init__(self, task: Classification) -> None:
        super().__init__(task)
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._loss_sum = 0.0

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits (B, K) or (B, 1)."""
        self._logits.append(class_logits(outputs.float()).cpu())
        self._targets.append(hard(batch["target"]).cpu())
        weight = float(self.task.weight(batch))
        self.weight += weight
        self._loss_sum += float(loss) * weight if weight else 0.0  # NaN without a target

    @property
    def logits(self) -> Tensor:
        """Logits of all examples, float (N, K)."""
        return torch.cat(self._logits)

    @property
    def targets(self) -> Tensor:
        """Classes of all examples, int64 (N,)."""
        return torch.cat(self._targets)

    @property
    def probabilities(self) -> Tensor:
        """Softmax of the logits (sigmoid of a single one), float (N, K)."""
        return self.logits.softmax(dim=1)

    @property
    def predictions(self) -> Tensor:
        """The most probable classes, int64 (N,)."""
        return self.logits.argmax(dim=1)

    def metrics(self) -> dict[str, float]:
        """Mean loss, accuracy as a fraction, and the negative log-likelihood where the loss is another."""
        targets = self.targets
        correct = int((self.predictions == targets).sum())
        found = {"loss": self._loss_sum / self.weight if self.weight else math.nan, "accuracy": correct / len(targets)}
        if NLL in self.task.higher_is_better:
            found[NLL] = float(functional.cross_entropy(self.logits, targets))
        return found

    def detailed(self, top_k: int) -> dict[str, float]:
        """The metrics, with top-k accuracy, means over the classes, and the expected calibration error (15 bins)."""
        from torchmetrics.functional.classification import (  # slow to import
            multiclass_accuracy,
            multiclass_calibration_error,
        )

        probabilities, targets = self.probabilities, self.targets
        classes = probabilities.shape[1]
        per_class = self.per_class()
        top_k = min(top_k, classes)
        top = multiclass_accuracy(probabilities, targets, classes, average="micro", top_k=top_k)
        below_one = probabilities.clamp(max=1 - 2**-24)  # torchmetrics leaves a probability of 1 out of every bin
        error = multiclass_calibration_error(below_one, targets, classes, n_bins=15)
        return {
            **self.metrics(),
            f"top{top_k}_accuracy": float(top),
            **{name: float(values.nanmean()) for name, values in per_class.items()},
            "calibration_error": float(error),
        }

    def per_class(self) -> dict[str, Tensor]:
        """Precision, recall and F1 of every class, float (K,); NaN where a class has no examples and is not predicted.

        The means over the classes leave those out, as scikit-learn's do.
        """
        from torchmetrics.functional.classification import (
            multiclass_f1_score,
            multiclass_precision,
            multiclass_recall,
        )

        predictions, targets, classes = self.predictions, self.targets, self._logits[0].shape[1]
        found = {
            "precision": multiclass_precision(predictions, targets, classes, average="none"),
            "recall": multiclass_recall(predictions, targets, classes, average="none"),
            "f1": multiclass_f1_score(predictions, targets, classes, average="none"),
        }
        occurs = torch.cat([predictions, targets]).bincount(minlength=classes) > 0
        return {name: values.where(occurs, torch.nan) for name, values in found.items()}

    def confusion(self) -> Tensor:
        """Counts, int64 (K, K): a row for each true class, a column for each predicted one."""
        return confusion(self.predictions, self.targets, self._logits[0].shape[1])

    def most_wrong(self, count: int) -> Tensor:
        """Indices of the misclassified examples with the least probability for their class, worst first."""
        own = self.probabilities.gather(1, self.targets.unsqueeze(1)).squeeze(1)
        wrong = torch.nonzero(self.predictions != self.targets).flatten()
        return wrong[own[wrong].argsort(stable=True)][:count]


class Classification(Task):
    """One class for every image; the loss takes logits (B, K) and class indices (B,) or probabilities (B, K)."""

    needs = ("target",)
    monitor = "val/accuracy"
    higher_is_better: Mapping[str, bool] = {"loss": False, "accuracy": True}

    def __init__(self, loss: nn.Module, num_classes: int) -> None:
        super().__init__(loss, num_classes)
        if not is_nll(loss):
            self.higher_is_better = {**self.higher_is_better, NLL: False}

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss and the model's logits."""
        logits = net(inputs(batch))
        return Forward(self.criterion(logits, batch["target"]), logits)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The accuracy, against the larger share where targets are mixed; the negative log-likelihood if asked for."""
        logits, targets = class_logits(outputs), hard(batch["target"])
        found = {"accuracy": (logits.argmax(dim=1) == targets).float().mean()}
        if NLL in self.higher_is_better:
            found[NLL] = functional.cross_entropy(logits.float(), targets)
        return found

    def scores(self) -> ClassificationScores:
        """Empty scores."""
        return ClassificationScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect a logit for each class, or one for two classes, and a loss that learns from them."""
        sizes = {self.num_classes, 1} if self.num_classes == 2 else {self.num_classes}
        if output.ndim != 2 or output.shape[1] not in sizes:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs for an image; expected {self.num_classes}, one for each class")
        name = type(self.criterion).__name__
        logits = torch.linspace(0.1, 0.2, output.shape[1], device="cpu").unsqueeze(0).requires_grad_()
        for target in (0, self.num_classes - 1):
            try:
                (gradient,) = torch.autograd.grad(self.criterion(logits, torch.tensor([target], device="cpu")), logits)
            except (RuntimeError, ValueError, IndexError) as error:
                reason = str(error).split("\n")[0]
                raise ValueError(f"loss={name} cannot take {output.shape[1]} outputs and a class ({reason})") from None
            if not gradient.any():
                outputs = "one output" if output.shape[1] == 1 else f"{output.shape[1]} outputs"
                raise ValueError(f"loss={name} has zero gradient with {outputs}; expected another loss")

    def check_batch(self, batch: Batch) -> None:
        """Expect a class for each example."""
        if batch["target"].is_floating_point():
            raise UserError(
                "task=classification: the data has numbers and no classes; expected task=regression or multi_label"
            )

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Confusion matrix, a precision-recall curve for each class, and the most wrong images."""
        from dlrun.figure.confusion_matrix import confusion_matrix  # matplotlib takes a moment to import
        from dlrun.figure.samples import samples

        scores = cast(ClassificationScores, scores)
        recorder.figure("confusion_matrix", confusion_matrix(scores.confusion(), classes), step)
        recorder.pr_curves(scores.probabilities, scores.targets, classes, step)
        worst = scores.most_wrong(most)
        if len(worst):
            targets, predictions = scores.targets[worst].tolist(), scores.predictions[worst].tolist()
            pairs = zip(targets, predictions, strict=True)
            mistakes = int((scores.predictions != scores.targets).sum())
            title = f"The {len(worst)} surest of {mistakes:,} mistakes: what it is, not what the model says"
            captions = [f"{classes[target]}, not {classes[prediction]}" for target, prediction in pairs]
            shown = next(iter(loader.fields.values())).shown(inputs(loader.examples(worst)))
            recorder.figure("most_wrong", samples(title, shown, captions), step)
