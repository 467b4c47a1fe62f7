"""A training is a list of phases, one after the other on the same network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dlrun.dataset.data import Data
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.training.cursor import Cursor, Goal
from dlrun.training.step import Step


@dataclass
class Phase:
    """What trains, on what, and how: fine-tuning has one phase for the head, and one for the whole network.

    Args:
        model: as this phase sees it; all phases share its ``network``.
        data: training, validation and test batches.
        step: of the optimizers.
    """

    model: Normalized
    data: Data
    step: Step


@dataclass(frozen=True)
class Plan:
    """A phase that is made when its turn comes.

    Args:
        make: makes it.
        epochs: how long it is; None for all that the goal leaves. Each phase has its own patience. The learning rate
            follows its schedule over the epochs that were planned, whether or not an earlier phase ended early.
    """

    make: Callable[[], Phase]
    epochs: int | None = None


@dataclass(frozen=True)
class Extent:
    """How long a phase is, if nothing ends it early.

    Args:
        steps_per_epoch: optimizer steps in an epoch.
        epochs: of the phase, the last of them perhaps not whole.
        last_epoch: epochs of all phases that are done when it ends.
        last_step: steps that are.
        ahead: what to add to a step for its place in the schedule of the learning rate, which runs over the plan.
    """

    steps_per_epoch: int
    epochs: int
    last_epoch: int
    last_step: int
    ahead: int

    @classmethod
    def of(cls, plan: Plan, goal: Goal, cursor: Cursor, batches: int, accumulate: int) -> Extent:
        """That of the cursor's phase, whose epochs have so many batches.

        Raises:
            UserError: more batches are to be accumulated than there are.
        """
        if accumulate > batches:
            reason = f"an epoch has {batches} batches; expected at most as many"
            raise UserError(f"trainer.accumulate={accumulate}: {reason}")
        per_epoch = math.ceil(batches / accumulate)
        if goal.steps is not None:
            return cls(per_epoch, (epochs := math.ceil(goal.steps / per_epoch)), epochs, goal.steps, 0)
        left = goal.epochs - cursor.planned
        epochs = left if plan.epochs is None else min(plan.epochs, left)
        last_step = cursor.phase_step + epochs * per_epoch
        return cls(
            per_epoch, epochs, cursor.phase_epoch + epochs, last_step, cursor.planned * per_epoch - cursor.phase_step
        )
