"""The scoring loop: one pass over a split, for validation, test and every verb that measures a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dlrun import interrupt
from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.task.task import Clock, Forward, Scores, Task
from dlrun.training.division import Division


def score(
    task: Task,
    model: nn.Module,
    loader: Loader,
    precision: Precision,
    division: Division | None = None,
    attack: Callable[[Batch], Batch] | None = None,
    watch: Callable[[Batch, Batch], None] | None = None,
) -> Scores:
    """The task's scores of a model, in evaluation mode, on all batches of a loader, optionally attacked.

    Args:
        task: what a batch means.
        model: the network behind its normalisation.
        loader: of the split.
        precision: of the computation.
        division: who computes which part of a batch; None leaves it whole.
        attack: changes a batch before it is scored.
        watch: is told of every batch, or part of one, as it was and as it was scored, in their order.
    """
    model.eval()
    scores, division = task.scores(), division or Division()
    for number, batch in enumerate(loader.epoch()):
        interrupt.check()
        parts = division.cut(batch)
        work = Work(task, model, precision, division, attack, number, len(parts))
        for part, (prepared, result) in zip(parts, work(parts), strict=True):
            if watch is not None:
                watch(part, prepared)
            scores.add(prepared, *result)
    return scores


class Work:
    """The scoring of one batch, of so many parts; the arguments are those of :func:`score`."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        precision: Precision,
        division: Division,
        attack: Callable[[Batch], Batch] | None,
        number: int,
        count: int,
    ) -> None:
        self.task, self.model, self.precision, self.division = task, model, precision, division
        self.attack, self.number, self.count = attack, number, count

    def __call__(self, parts: list[Batch]) -> list[tuple[Batch, Forward]]:
        """What every part was scored as, with its loss and outputs, whoever computed it."""
        if self.division.is_whole:
            prepared = self.prepared(parts[0], 0)
            return [(prepared, self.evaluated(prepared))]
        places = self.division.mine(self.count)
        if not places:  # all processes call the network equally often, for it may lie in parts on them
            self.evaluated(self.prepared(parts[0], 0, attacked=False))
        ready = {place: self.prepared(parts[place], place) for place in places}
        work = partial(self._work, ready)
        own = self.division.compute(work, places, self.number, 1, list)
        new = [(_new(parts[place], ready[place]), *result) for place, result in zip(places, own, strict=True)]
        device = self.division.device
        return [
            ({**part, **_moved(entries, device)}, Forward(loss.to(device), outputs.to(device)))
            for part, (entries, loss, outputs) in zip(parts, self.division.world.gather(new), strict=True)
        ]

    def prepared(self, part: Batch, place: int, attacked: bool = True) -> Batch:
        """A part as it is scored."""
        if not self.division.is_whole:
            self.division.seeded(self.number, place)
        with self.precision.autocast():
            if self.attack is not None and attacked:
                part = self.attack(part)
            with torch.inference_mode():
                clock = Clock(step=self.number * self.count + place, training=False)
                return self.task.prepare(self.model, part, clock)

    def evaluated(self, prepared: Batch) -> Forward:
        """The loss and the outputs on a part that is prepared."""
        with self.precision.autocast(), torch.inference_mode():
            return self.task.evaluate(self.model, prepared)

    def _work(self, ready: dict[int, Batch], place: int) -> Forward:
        return self.evaluated(ready[place])


def _new(part: Batch, prepared: Batch) -> Batch:
    """What others do not have of a part: what was made of it."""
    return {name: values for name, values in prepared.items() if values is not part.get(name)}


def _moved(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    return {name: values.to(device) for name, values in batch.items()}
