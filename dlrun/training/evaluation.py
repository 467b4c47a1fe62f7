"""The scoring loop: one pass over a split, for validation, test and every verb that measures a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from dlrun import interrupt
from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.task.task import Scores, Task


def score(
    task: Task,
    model: nn.Module,
    loader: Loader,
    precision: Precision,
    attack: Callable[[Batch], Batch] | None = None,
) -> Scores:
    """The task's scores of a model, in evaluation mode, on all batches of a loader, attacked first where told so."""
    model.eval()
    scores = task.scores()
    for batch in loader.epoch():
        interrupt.check()
        with precision.autocast():
            if attack is not None:
                batch = attack(batch)
            with torch.inference_mode():
                loss, outputs = task.forward(model, batch)
        scores.add(batch, loss, outputs)
    return scores
