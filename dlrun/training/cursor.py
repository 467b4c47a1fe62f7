"""Where a run stands, and what it is asked to reach. No torch here: the front door asks whether a run is finished."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dlrun.callback.callback import StepLog

Next = Literal["step", "validate", "epoch_end", "test", "follow", "done"]


@dataclass(frozen=True)
class Goal:
    """What a run is asked to reach; it may be raised on a run that goes on.

    Args:
        epochs: of the whole training.
        steps: optimizer steps; they override the epochs.
        patience: validations without a better one that end a phase; None for no such end.
    """

    epochs: int
    steps: int | None = None
    patience: int | None = None

    @classmethod
    def of(cls, trainer: Mapping[str, Any]) -> Goal:
        """The goal that a config's ``trainer`` section states."""
        return cls(trainer["epochs"], trainer["steps"], trainer["patience"])


@dataclass
class Cursor:
    """Where a run stands: a phase, what is done of it, and what comes next. Every value of it can be continued from."""

    next: Next = "step"
    phase: int = 0
    """Of the training's list of phases."""
    epoch: int = 0
    """Epochs done, of all phases."""
    step: int = 0
    """Optimizer steps done, of all phases."""
    batch: int = 0
    """Batches done in the epoch in progress."""
    planned: int = 0
    """Epochs that were planned for the phases before."""
    phase_epoch: int = 0
    """Epochs done before the phase began."""
    phase_step: int = 0
    """Steps done before the phase began."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums over the examples of the epoch in progress, by metric."""
    examples: int = 0
    """Examples seen in the epoch in progress."""
    weight: float = 0.0
    """What the losses of the epoch in progress weigh: mostly the examples."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the epoch that has just ended."""
    best: float | None = None
    """The best value of the monitored metric."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that epoch."""
    best_epoch: int = 0
    since_best: int = 0
    """Validations of this phase since then."""
    stopped: str | None = None
    """Why the last phase ended early, if it did: ``patience``, or what a callback said."""

    def is_done(self, goal: Goal) -> bool:
        """Whether the run has come to its end, and this goal asks for nothing beyond it."""
        return self.next == "done" and not self.goes_on(goal)

    def goes_on(self, goal: Goal) -> bool:
        """Whether a goal asks for more training than has been done; what a callback has stopped never goes on."""
        ended = self.stopped is not None
        if self.stopped == "patience":
            ended = goal.patience is not None and goal.patience <= self.since_best
        left = self.step < goal.steps if goal.steps is not None else self.reached < goal.epochs
        return left and not ended

    def judge(self, metrics: dict[str, float], monitor: str, higher_is_better: bool) -> bool:
        """Whether an epoch's metrics are the best so far, which it remembers; without the one monitored they are."""
        value = metrics.get(monitor)
        if value is not None:
            better = self.best is None or (value > self.best if higher_is_better else value < self.best)
            if not better or not math.isfinite(value):
                self.since_best += 1
                return False
        self.best, self.best_epoch, self.since_best, self.best_metrics = value, self.epoch, 0, metrics
        return True

    def reopen(self, goal: Goal) -> None:
        """Point a run that has ended its training at the next step, if the goal asks for more."""
        if self.next in ("test", "follow", "done") and self.goes_on(goal):
            self.next, self.stopped = "step", None

    def add(self, log: StepLog, losses: Collection[str]) -> None:
        """Take some steps into the sums of the epoch; losses count by their weights, other metrics by the examples."""
        for name, means in log.values.items():
            counts = log.weights if name in losses else log.examples
            total = sum(mean * count for mean, count in zip(means, counts, strict=True))
            self.sums[name] = self.sums.get(name, 0.0) + total
        self.examples, self.weight = self.examples + sum(log.examples), self.weight + sum(log.weights)

    def means(self, losses: Collection[str]) -> dict[str, float]:
        """The means of the epoch, by metric."""
        return {name: total / (self.weight if name in losses else self.examples) for name, total in self.sums.items()}

    @property
    def reached(self) -> int:
        """Epochs done, those that an earlier phase left out by its patience counted as done."""
        return self.planned + self.epoch - self.phase_epoch

    def state_dict(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.weight = state["examples"]  # that of an earlier version
        for name, value in state.items():
            setattr(self, name, copy.copy(value))
