"""A training is a list of phases, one after the other on the same network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dlrun.dataset.batch import inputs
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


def check_last_batch(phase: Phase) -> None:
    """Refuse a last batch of one example from which batch normalisation cannot learn, before any step.

    Raises:
        UserError: says which batch size leaves one over.
    """
    loader = phase.data.train
    left = len(loader.source) % loader.batch_size or loader.batch_size
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in phase.model.modules())
    if left > 1 or loader.limit is not None or not norms:
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copy.deepcopy(phase.model).train()(inputs(next(loader.epoch()))[:1])
    except Exception as error:  # networks that are called by name fail here for reasons of their own
        if "more than 1 value per channel" in str(error):
            raise UserError(
                f"dataset.batch_size={loader.batch_size}: one of the {len(loader.source):,} training examples is left"
                " over for a batch of its own, from which batch normalisation cannot learn; expected another size"
            ) from None


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
    def of(cls, plan: Plan, goal: Goal, cursor: Cursor, per_epoch: int) -> Extent:
        """That of the cursor's phase, whose epochs have so many batches."""
        if goal.steps is not None:
            return cls(per_epoch, (epochs := math.ceil(goal.steps / per_epoch)), epochs, goal.steps, 0)
        left = goal.epochs - cursor.planned
        epochs = left if plan.epochs is None else min(plan.epochs, left)
        last_step = cursor.phase_step + epochs * per_epoch
        return cls(
            per_epoch, epochs, cursor.phase_epoch + epochs, last_step, cursor.planned * per_epoch - cursor.phase_step
        )

    def check_warmup(self, steps: int) -> None:
        """Refuse a warm-up that is longer than the run.

        Raises:
            UserError: it is.
        """
        if steps > self.last_step:
            raise UserError(
                f"scheduler.warmup_steps={steps}: the run has {self.last_step} steps; expected at most as many"
            )
