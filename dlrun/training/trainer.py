"""The trainer: it moves a run from one boundary to the next, and saves it at boundaries."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from dlrun import console, interrupt, weights
from dlrun.callback.callback import Callback, StepLog
from dlrun.compute.seeding import Randomness
from dlrun.dataset.batch import size
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError, suggest
from dlrun.logger.logger import Value
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.schedule import Schedule
from dlrun.task.task import Clock, Scores, Task
from dlrun.training import checkpoint
from dlrun.training.average import moving_average
from dlrun.training.cursor import Cursor, Goal
from dlrun.training.diverged import DivergedError, check_scores, check_steps
from dlrun.training.division import Division
from dlrun.training.evaluation import score
from dlrun.training.options import TrainerOptions
from dlrun.training.pending import Pending
from dlrun.training.phase import Extent, Phase, Plan, check_last_batch
from dlrun.training.records import best_tag, record_epoch, record_steps, warn_of_jump
from dlrun.training.state import Stateful, copied, gather, restore


class Trainer:
    """Trains a network through the phases of a plan, and tests the best of it once.

    Where the run stands is its ``cursor``: a method for each of its values, and a boundary that can be saved between.

    Args:
        plans: the phases.
        task: what a batch means.
        schedule: the learning rate by step, as a factor of the optimizers'.
        options: the ``trainer`` section of the config.
        device: where all of it is.
        callbacks: what watches, by name.
        recorder: what all of it is recorded with.
        folder: the run's folder.
        hparams: what a comparison of runs should show.
        swept: those of them that the command line sets.
        division: into how many micro-batches, and who computes them; None leaves batches whole.

    Raises:
        UserError: ``options.monitor`` is no metric of the task.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        task: Task,
        schedule: Schedule,
        options: TrainerOptions,
        device: torch.device,
        callbacks: Mapping[str, Callback],
        recorder: Recorder,
        folder: Path,
        hparams: Mapping[str, Value] | None = None,
        swept: Sequence[str] = (),
        division: Division | None = None,
    ) -> None:
        self.plans, self.task, self.schedule, self.options, self.device = plans, task, schedule, options, device
        self.callbacks, self.recorder, self.folder = callbacks, recorder, folder
        self.hparams, self.swept = dict(hparams or {}), swept
        self.division = division or Division()
        self.goal = Goal(options.epochs, options.steps, options.patience)
        self.cursor, self.pending, self.random = Cursor(), Pending(), Randomness()
        self.monitor = options.monitor or task.monitor
        known = [f"{split}/{name}" for split in ("train", "val") for name in task.higher_is_better]
        if self.monitor not in known:
            raise UserError(f"trainer.monitor={self.monitor}: no such metric; {suggest(self.monitor, known)}")
        self.higher_is_better = task.higher_is_better[self.monitor.split("/")[1]]
        self.result: dict[str, float] = {}  # the metrics of the test, once it is done
        self.average: AveragedModel | None = None
        self._best: dict[str, Any] | None = None  # not yet in a file of its own
        self._tested: Normalized | None = None
        self._save_soon, self._watch = False, time.perf_counter()

    def _enter(self) -> None:
        """Make the phase that the cursor points at."""
        plan = self.plans[self.cursor.phase]
        self.phase: Phase = plan.make()
        check_last_batch(self.phase)
        self.extent = Extent.of(plan, self.goal, self.cursor, len(self.data.train))
        self.extent.check_warmup(self.schedule.warmup_steps)
        if self.options.ema:
            self.average = moving_average(self.model, self.options.ema)

    @property
    def _factor(self) -> float:
        """Of the learning rate in the next step."""
        step, extent = self.cursor.step, self.extent
        return self.schedule.factor(step + extent.ahead, extent.last_step + extent.ahead, extent.steps_per_epoch)

    @property
    def model(self) -> Normalized:
        """The model of the phase."""
        return self.phase.model

    @property
    def eval_model(self) -> Normalized:
        """The model to validate and keep, the average of the weights where one is kept; in the test the best one."""
        averaged = self.model if self.average is None else cast(Normalized, self.average.module)
        return self._tested or averaged

    @property
    def data(self) -> Data:
        """The data of the phase."""
        return self.phase.data

    @property
    def metric_names(self) -> list[str]:
        """All that ``metrics`` of the run's result will hold."""
        splits = ("train", "val", "test") if len(self.data.val) else ("train", "test")
        own = [f"{split}/{name}" for split in splits for name in self.task.higher_is_better]
        return own + [name for callback in self.callbacks.values() for name in callback.metric_names]

    @property
    def parts(self) -> dict[str, Stateful]:
        """All that a checkpoint holds besides the cursor, by name; the weights are under ``model``."""
        average = {} if self.average is None else {"average": self.average}
        return {
            "model": self.model.network,
            "step": self.phase.step,
            "pending": self.pending,
            "random": self.random,
            "recorder": self.recorder,
            **average,
        }

    def open(self, state: dict[str, Any] | None) -> None:
        """Begin, or go on from the state of a checkpoint; what was recorded after it is cut off.

        Raises:
            UserError: the state is none of this network's.
        """
        if state is None:
            return self._enter()
        self.cursor.load_state_dict(state["cursor"])
        self.cursor.reopen(self.goal)
        self._enter()
        restore(state, self.parts, self.callbacks, self.model)
        self.result = state["result"]
        if state["best"] is not None:  # perhaps the run was killed before it had a file
            weights.save(state["best"], self.folder / checkpoint.FOLDER / checkpoint.BEST)
        if (cursor := self.cursor).next == "step":
            warn_of_jump(self.phase.step, self._factor, self.folder)
        where = f"in epoch {cursor.epoch + 1}" if cursor.next == "step" else f"next is {cursor.next.replace('_', ' ')}"
        console.say(f"continuing after step {cursor.step:,} of {self.extent.last_step:,}, {where}")

    def fit(self, is_new: bool = True) -> None:
        """Train and test, from where the cursor stands.

        Args:
            is_new: nothing was recorded for the run yet.

        Raises:
            DivergedError: a loss is NaN or infinite; the checkpoints left are from before.
            Interrupted: a signal came; the run is saved.
        """
        try:
            if is_new:
                self._begin()
            self._emit("on_phase_start")
            self._advance()
        except DivergedError as error:
            checkpoint.take_back(self.folder, error.step)
            raise

    def _advance(self) -> None:
        """Go from boundary to boundary until all is done."""
        actions = {"step": self._train, "validate": self._validate, "epoch_end": self._end_epoch, "test": self._test}
        try:
            while self.cursor.next in actions:
                actions[self.cursor.next]()
                if self.phase.step.agreed(self._save_soon):
                    self.save()
        except interrupt.Interrupted:
            self.save()
            raise

    def _begin(self) -> None:
        """Record what is known before the first step."""
        self.recorder.clear()
        metrics = [best_tag(self.monitor), self.monitor.replace("val/", "test/")]
        file = self.folder / "config.yaml"
        config = file.read_text(encoding="utf-8") if file.exists() else ""
        self.recorder.begin(self.hparams, metrics, self.swept, list(self.task.higher_is_better), config)
        self._emit("on_begin")

    def _train(self) -> None:
        """Train the epoch, or what is left of it."""
        cursor, options, batches_in_epoch = self.cursor, self.options, len(self.data.train)
        if cursor.step >= self.extent.last_step and not cursor.batch:
            self._end_phase()
            return
        self.model.train()
        self._emit("on_epoch_start")
        self._watch = time.perf_counter()
        batches, last = self.data.train.epoch(cursor.epoch, start=cursor.batch), self.extent.last_step
        while cursor.next == "step":
            batch = next(batches)
            ends = cursor.batch + 1 >= batches_in_epoch or cursor.step + 1 >= last
            looks = ends or (cursor.step + 1) % options.log_every == 0
            clock = Clock(cursor.step, cursor.epoch, self.extent.steps_per_epoch, training=True)
            means = self.phase.step(self.division.cut(batch), clock, self._factor, measure=looks)
            if self.average is not None:
                self.average.update_parameters(self.model)
            self.pending.add(means, size(batch), self.task.weight(batch))
            cursor.step += 1
            cursor.batch += 1
            if ends:
                cursor.next = "validate"
            if looks:
                self._look()
            began = time.perf_counter()
            self._emit("on_step_end")
            self._watch += time.perf_counter() - began
            if self.phase.step.agreed(self._save_soon):
                self.save()
            interrupt.check()

    def _look(self) -> None:
        """Fetch what the steps since the last look gave from the device, record it, and tell the callbacks."""
        self._check_losses()
        first, now = self.cursor.step - len(self.pending) + 1, time.perf_counter()
        log = StepLog(first, *self.pending.take(), now - self._watch)
        self.cursor.add(log, self.phase.step.loss_names)
        record_steps(self.recorder, log, self.phase.step)
        self._emit("on_log", log)
        self._watch = time.perf_counter()

    def _check_losses(self) -> None:
        """Refuse to go on from a loss that is NaN or infinite."""
        first = self.cursor.step - len(self.pending) + 1
        check_steps(self.pending.fetch(), first, self.cursor.epoch + 1, self.phase.step.learning_rate)

    def _validate(self) -> None:
        """Score the validation split, where it is due; an interrupted validation is done again."""
        cursor = self.cursor
        metrics = {f"train/{name}": value for name, value in cursor.means(self.phase.step.loss_names).items()}
        if len(self.data.val) and self._is_due():
            metrics |= self._scored("val", self.eval_model, self.data.val)[1]
        cursor.metrics, cursor.next = metrics, "epoch_end"

    def _is_due(self) -> bool:
        return (self.cursor.epoch + 1) % self.options.validate_every == 0 or self.cursor.step >= self.extent.last_step

    def _scored(self, split: str, model: Normalized, loader: Loader) -> tuple[Scores, dict[str, float]]:
        """A model's scores on a split, and the metrics, whose loss is finite."""
        scores = score(self.task, model, loader, self.phase.step.precision, self.division)
        metrics = {f"{split}/{name}": value for name, value in scores.metrics().items()}
        check_scores(metrics, self.cursor.step)
        return scores, metrics

    def _end_epoch(self) -> None:
        """Judge and record the epoch, and find what comes next."""
        cursor, due, metrics = self.cursor, self._is_due(), self.cursor.metrics
        cursor.epoch, cursor.batch, cursor.sums, cursor.examples, cursor.weight = cursor.epoch + 1, 0, {}, 0, 0.0
        improved = due and cursor.judge(metrics, self.monitor, self.higher_is_better)
        if improved:
            state = copied(self.eval_model.network)  # it may be saved many steps later
            self._best = {"model": state, "epoch": cursor.epoch, "step": cursor.step, "metrics": metrics}
        record_epoch(self.recorder, metrics, cursor, self.phase.step, self.metric_names)
        if cursor.best is not None:
            self.recorder.scalars({best_tag(self.monitor): cursor.best}, cursor.epoch)
        if cursor.since_best >= (self.goal.patience or math.inf) and cursor.step < self.extent.last_step:
            cursor.stopped = "patience"
        cursor.next = "step"
        self._emit("on_epoch_end", metrics, improved)
        # Callbacks watch in the first process alone:
        cursor.stopped = self.division.world.shared(lambda: cursor.stopped)
        if cursor.stopped or cursor.step >= self.extent.last_step:
            self._end_phase()

    def _end_phase(self) -> None:
        """Go on to the next phase, or to the test."""
        cursor = self.cursor
        self.save_soon()
        if cursor.phase + 1 == len(self.plans) or cursor.stopped not in (None, "patience"):
            cursor.next = "test"
            return
        cursor.planned += self.extent.epochs
        cursor.phase, cursor.phase_epoch, cursor.phase_step = cursor.phase + 1, cursor.epoch, cursor.step
        cursor.since_best, cursor.stopped = 0, None
        self._enter()
        self._emit("on_phase_start")

    def _test(self) -> None:
        """Score the best checkpoint on the test set."""
        best = self.division.world.shared(lambda: checkpoint.best(self.folder))
        self._tested = copy.deepcopy(self.eval_model)
        if best is not None:
            weights.check_fits(self._tested.network, best, "checkpoint")
            self._tested.network.load_state_dict(best, strict=False)  # of version 0.1 counters may be missing
        scores, metrics = self._scored("test", self._tested, self.data.test)
        for callback in self.callbacks.values():
            metrics |= callback.measure(self)
        self.recorder.scalars(metrics, self.cursor.best_epoch)
        self._emit("on_test_end", metrics, scores)
        self.recorder.success()
        self.result, self.cursor.next = metrics, "follow"
        self.save_soon()

    def save_soon(self) -> None:
        """Save at the next boundary, after all hooks."""
        self._save_soon = True

    def stop(self, reason: str) -> None:
        """End the training after this epoch, for a reason such as ``pruned``."""
        self.cursor.stopped = reason

    def save(self) -> None:
        """Write the checkpoints."""
        self._check_losses()
        state = self.state()  # all processes have a part in it where the network lies in parts
        if self.division.world.rank == 0:
            checkpoint.write(self.folder, state)
        self._best, self._save_soon = None, False

    def state(self) -> dict[str, Any]:
        """All that continues the run from here to the same end: plain values and tensors; the weights are ``model``."""
        cursor = self.cursor.state_dict()
        return {**gather(self.parts, self.callbacks), "cursor": cursor, "best": self._best, "result": self.result}

    def ends_epoch(self, step: int) -> bool:
        """Whether the epoch ended with this step, one of those since the last look."""
        return step == self.cursor.step and self.cursor.next != "step"

    def _emit(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks.values():
            getattr(callback, hook)(self, *arguments)
