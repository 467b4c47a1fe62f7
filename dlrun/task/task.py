"""What a task is: the meaning of a batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from dlrun.dataset.batch import Batch, size
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.loss.weight import weight

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

Net = Callable[[Tensor], Tensor]
"""The model, perhaps compiled: takes what a batch's first entry holds. Networks of other inputs are called by name."""


def plain(net: Net) -> nn.Module:
    """The model that a compiled one was made of, for what may not run compiled: its parts, its mode."""
    assert isinstance(net, nn.Module)
    made: nn.Module = getattr(net, "_orig_mod", net)
    return made


class Forward(NamedTuple):
    """The loss of a batch, a scalar (mean over its examples), and the model's outputs."""

    loss: Tensor
    outputs: Tensor


@dataclass(frozen=True)
class Clock:
    """When a batch is seen; with the seed, all that randomness and schedules may depend on.

    Args:
        step: optimizer steps done; in an evaluation, batches done.
        epoch: epochs done.
        steps_per_epoch: optimizer steps in an epoch.
        training: False in an evaluation, whose clock starts at 0 each time.
    """

    step: int = 0
    epoch: int = 0
    steps_per_epoch: int = 1
    training: bool = False


class Scores:
    """What a pass over a split gathers, batch by batch; as it is, the mean loss and means of the batch metrics."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.examples = 0
        self.weight = 0.0
        self._sums: dict[str, float] = {}

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss and the model's outputs."""
        count = size(batch)
        weight = float(self.task.weight(batch))
        self.examples += count
        self.weight += weight
        for name, value in {"loss": loss, **self.task.batch_metrics(outputs, batch)}.items():
            by = weight if name == "loss" else count
            self._sums[name] = self._sums.get(name, 0.0) + (float(value) * by if by else 0.0)  # NaN without a target

    def metrics(self) -> dict[str, float]:
        """The figures of the whole pass by name, without the split: ``{"loss": ..., "accuracy": ...}``."""
        found = {name: total / self.examples for name, total in self._sums.items()}
        return {**found, "loss": self._sums["loss"] / self.weight if self.weight else math.nan}


class Task(ABC):
    """Gives a batch its meaning: what is done to it, what the model loses on it, how it is measured and shown.

    A task never calls the trainer and never asks for the mode of the model. It is a function of batch and clock.

    Args:
        loss: the loss function of the config.
        num_classes: of the dataset.
    """

    needs: Sequence[str] = ()
    """The fields of a batch that it reads besides the first, such as ``target``; checked once, before training."""
    players: Sequence[str] = ("",)
    """Who trains, in the order of a step: ``""`` is the whole network, other names are its submodules."""
    in_one_piece: bool = False
    """Whether its network cannot lie in parts on several processes (``trainer.shard``): it calls it more often for some
    data than for other, or layers by themselves, or trains one part of it at a time."""
    monitor: str
    """The metric that chooses the best checkpoint, such as ``val/accuracy``."""
    higher_is_better: Mapping[str, bool] = {"loss": False}
    """Its metrics, without the split, each with its direction."""

    def __init__(self, loss: nn.Module, num_classes: int) -> None:
        self.criterion = loss
        self.num_classes = num_classes

    def check_needs(self, fields: Collection[str]) -> None:
        """Refuse a dataset that does not have the fields that the task reads.

        Raises:
            UserError: names them.
        """
        missing = [name for name in self.needs if name not in fields]
        if missing:
            raise UserError(
                f"task={type(self).__name__}: needs {', '.join(missing)}; the dataset has {', '.join(fields)}"
            )

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """What happens to a batch before the network sees it, in training and in evaluation alike: nothing."""
        return batch

    @abstractmethod
    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """What a player learns from a prepared batch: its loss, and the model's outputs."""

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """What validation and test measure on a prepared batch: by default the loss of the training."""
        return self.loss(net, batch, self.players[-1])

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars, each a mean over the batch, that are averaged over a training epoch; none by default."""
        return {}

    def weight(self, batch: Batch) -> float | Tensor:
        """How much the batch's loss counts in a mean over several batches; see :func:`dlrun.loss.weight.weight`."""
        return weight(self.criterion, batch.get("target"), size(batch))

    def scores(self) -> Scores:
        """Empty scores, to gather those of one pass over a split."""
        return Scores(self)

    @abstractmethod
    def check_output(self, output: Tensor) -> None:
        """Refuse a model whose output for one input (1, ...) does not suit the task.

        Raises:
            ValueError: says what the output is and what was expected.
        """

    def check_batch(self, batch: Batch) -> None:
        """Refuse data whose values do not suit the task, by its first example, a batch of one; by default none.

        Raises:
            UserError: says what they are and what was expected.
        """

    def check_split(self, name: str, targets: Tensor | None, classes: list[str]) -> None:
        """Refuse a split whose classes do not suit the task; by default none.

        Args:
            name: train, val or test.
            targets: the class of every example, int64 (N,); None where the dataset does not tell.
            classes: their names.

        Raises:
            UserError: says what was expected.
        """

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Record what the scores of a split look like, with at most so many pictures; nothing by default."""
