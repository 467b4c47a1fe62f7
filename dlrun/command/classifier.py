"""What verbs that measure a classifier make of a run's task."""

from __future__ import annotations

from dlrun.errors import UserError
from dlrun.task.classification import Classification
from dlrun.task.task import Task


def classifier(task: Task, what: str) -> Classification:
    """Plain classification with a task's loss: one that attacks its batches in training does not do so here.

    Args:
        task: of the run.
        what: what asks for it, for the message: ``evaluate``.

    Raises:
        UserError: the task is not classification.
    """
    if not isinstance(task, Classification):
        name = type(task).__name__
        raise UserError(f"task={name}: {what} takes a classifier; expected a run of task=classification")
    return Classification(task.criterion, task.num_classes)
