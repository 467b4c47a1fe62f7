"""The scoring loop: one pass over a split, for validation, test and every verb that measures a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from dlrun import interrupt
from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.task.task import Clock, Scores, Task


def score(
    task: Task,
    model: nn.Module,
    loader: Loader,
    precision: Precision,
    attack: Callable[[Batch], Batch] | None = None,
) -> Scores:
    """The task's scores of a model, in evaluation mode, on all batches of a loader, optionally attacked."""
    model.eval()
    scores = task.scores()
    for number, batch in enumerate(loader.epoch()):
        interrupt.check()
        with precision.autocast():
            if attack is not None:
                batch = attack(batch)
            with torch.inference_mode():
                prepared = task.prepare(model, batch, Clock(step=number, training=False))
                loss, outputs = task.evaluate(model, prepared)
        scores.add(prepared, loss, outputs)
    return scores
