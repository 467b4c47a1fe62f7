"""The scoring loop: one pass over a split, for validation, test and every verb that measures a model."""

from __future__ import annotations

import torch
from torch import nn

from dlrun import interrupt
from dlrun.dataset.loader import Loader
from dlrun.precision import Precision
from dlrun.task.task import Scores, Task


def score(task: Task, model: nn.Module, loader: Loader, precision: Precision) -> Scores:
    """The task's scores of a model, in evaluation mode, on all batches of a loader."""
    model.eval()
    scores = task.scores()
    with torch.inference_mode():
        for batch in loader.epoch():
            interrupt.check()
            with precision.autocast():
                loss, outputs = task.forward(model, batch)
            scores.add(batch, loss, outputs)
    return scores
