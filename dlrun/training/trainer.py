"""The trainer: epochs, steps, precision, accumulation, clipping, and the state of all that."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlrun import interrupt
from dlrun.callback.callback import Callback, StepLog
from dlrun.compute import seeding
from dlrun.compute.precision import Precision
from dlrun.config import schema
from dlrun.dataset.batch import Batch, size
from dlrun.dataset.data import Data
from dlrun.errors import RunError, UserError, suggest
from dlrun.logger.board import Value
from dlrun.model.normalized import Normalized
from dlrun.scheduler.schedule import Schedule
from dlrun.task.task import Scores, Task
from dlrun.training.evaluation import score


class DivergedError(RunError):
    """The training loss is no number any more."""


@dataclass
class Progress:
    """Where a training stands: all of the trainer's state that is not in the model or the optimizer."""

    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done in the epoch in progress."""
    step: int = 0
    """Optimizer steps done."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums over the examples of the epoch in progress, by metric."""
    examples: int = 0
    """Examples seen in the epoch in progress."""
    best: float | None = None
    """The best value of the monitored metric."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that epoch."""
    best_epoch: int = 0
    since_best: int = 0
    """Validations since then."""
    stopped: str | None = None
    """Why the run ended before its last epoch, if it did."""


class Trainer:
    """Fits a model on a dataset.

    Args:
        model: the network behind its normalisation, on the device.
        task: what a batch means.
        optimizer: of the model's parameters.
        schedule: the learning rate by step, as a factor of the optimizer's.
        data: training, validation and test batches.
        options: the ``trainer`` section of the config.
        device: where all of it is.
        callbacks: what watches.
        folder: the run's folder, for callbacks that write.
        hparams: what a comparison of runs should show, for callbacks that write.
        swept: those of them that the command line sets.

    Raises:
        UserError: ``options.monitor`` is no metric of the task, or a number of steps exceeds the epoch or the run.
    """

    def __init__(
        self,
        model: Normalized,
        task: Task,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        data: Data,
        options: schema.Trainer,
        device: torch.device,
        callbacks: Sequence[Callback],
        folder: Path,
        hparams: dict[str, Value],
        swept: Sequence[str] = (),
    ) -> None:
        self.model, self.task, self.optimizer, self.schedule = model, task, optimizer, schedule
        self.data, self.options, self.device = data, options, device
        self.callbacks, self.folder, self.hparams, self.swept = callbacks, folder, hparams, swept
        self.precision = Precision(options.precision, device)
        self.scaler = self.precision.scaler()
        self.forward: Callable[[Tensor], Tensor] = torch.compile(model) if options.compile else model
        self.average: AveragedModel | None = None
        if options.ema:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema))  # type: ignore[no-untyped-call]
        self.progress = Progress()
        self.monitor = options.monitor or task.monitor
        known = [f"{split}/{name}" for split in ("train", "val") for name in task.metric_names]
        if self.monitor not in known:
            raise UserError(f"trainer.monitor={self.monitor}: no such metric; {suggest(self.monitor, known)}")
        self.higher_is_better = not self.monitor.endswith(("loss", "error"))
        if options.accumulate > len(data.train):
            batches = f"an epoch has {len(data.train)} batches"
            raise UserError(f"trainer.accumulate={options.accumulate}: {batches}; expected at most as many")
        self.steps_per_epoch = math.ceil(len(data.train) / options.accumulate)
        self.total_steps = options.steps or options.epochs * self.steps_per_epoch
        if schedule.warmup_steps > self.total_steps:
            raise UserError(
                f"scheduler.warmup_steps={schedule.warmup_steps}: the run has {self.total_steps} steps;"
                " expected at most as many"
            )
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self._pending: list[tuple[dict[str, Tensor], int]] = []
        self._gradient_norm: Tensor | None = None
        self._clock = time.perf_counter()

    @property
    def total_epochs(self) -> int:
        """Epochs that the run takes, the last of them perhaps not whole."""
        return math.ceil(self.total_steps / self.steps_per_epoch)

    @property
    def metric_names(self) -> list[str]:
        """All that ``metrics`` of the run's result will hold."""
        splits = ("train", "val", "test") if len(self.data.val) else ("train", "test")
        own = [f"{split}/{name}" for split in splits for name in self.task.metric_names]
        return own + [name for callback in self.callbacks for name in callback.metric_names]

    @property
    def eval_model(self) -> Normalized:
        """The model to validate and keep: the average of the weights where one is kept."""
        return self.model if self.average is None else cast(Normalized, self.average.module)

    def fit(self) -> None:
        """Train until the last step, or until validation has not improved for ``patience`` times.

        Raises:
            DivergedError: the loss is NaN or infinite.
            Interrupted: a signal came; what :meth:`state` gives then continues the run.
        """
        self._emit("on_fit_start")
        try:
            while self.progress.step < self.total_steps and self.progress.stopped is None:
                self._epoch()
        except interrupt.Interrupted:
            self._emit("on_interrupt")
            raise
        self._emit("on_fit_end")

    def test(self) -> dict[str, float]:
        """Score the model on the test set; call once, with the weights that validation chose."""
        scores = score(self.task, self.eval_model, self.data.test, self.precision)
        metrics = _named("test", scores)
        for callback in self.callbacks:
            metrics |= callback.measure(self)
        for name, figure in self.task.figures(self.eval_model, self.data).items():
            self.show(name, figure)
        self._emit("on_test_end", metrics, scores)
        return metrics

    def optimize(self, batches: list[Batch]) -> dict[str, Tensor]:
        """One step of the optimizer on the mean loss over all examples of the batches."""
        examples = sum(size(batch) for batch in batches)
        means: dict[str, Tensor] = {}
        self.optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            with self.precision.autocast():
                loss, outputs = self.task.forward(self.forward, batch)
            with torch.no_grad():
                found = {"loss": loss.detach(), **self.task.batch_metrics(outputs, batch)}
            if len(batches) > 1:  # in the hot loop, no multiplications by 1
                share = size(batch) / examples
                loss = loss * share
                found = {name: value * share + means.get(name, 0.0) for name, value in found.items()}
            means = found
            torch.autograd.backward(self.scaler.scale(loss))
        self._clip()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return means

    def _clip(self) -> None:
        """Clip the gradients, and measure their norm for clipping or the log."""
        clip_norm = self.options.clip_norm
        if clip_norm or self._is_regular(self.progress.step + 1):
            self.scaler.unscale_(self.optimizer)
            self._gradient_norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm or math.inf)

    def _epoch(self) -> None:
        """Train an epoch, or what is left of it, and validate."""
        progress = self.progress
        self.model.train()
        self._emit("on_epoch_start")
        self._clock = time.perf_counter()
        batches = self.data.train.epoch(progress.epoch, start=progress.batch)
        while progress.step < self.total_steps and (group := list(islice(batches, self.options.accumulate))):
            self._set_learning_rate()
            means = self.task.training_step(self, group)
            if self.average is not None:
                self.average.update_parameters(self.model)
            self._pending.append((means, sum(size(batch) for batch in group)))
            progress.step += 1
            progress.batch += len(group)
            if self._is_regular(progress.step):
                self.look(regular=True)
            self._emit("on_step_end")
            interrupt.check()
        metrics = {f"train/{name}": total / progress.examples for name, total in progress.sums.items()}
        due = (progress.epoch + 1) % self.options.validate_every == 0 or progress.step >= self.total_steps
        if due and len(self.data.val):
            metrics |= _named("val", score(self.task, self.eval_model, self.data.val, self.precision))
        # Up to here the state is that of the last step: an interrupted validation is done again.
        progress.epoch, progress.batch, progress.examples = progress.epoch + 1, 0, 0
        progress.sums.clear()
        improved = due and self._judge(metrics)
        if progress.since_best >= (self.options.patience or math.inf) and progress.step < self.total_steps:
            progress.stopped = "no better validation"
        self._emit("on_epoch_end", metrics, improved)

    def show(self, name: str, figure: Figure, step: int | None = None) -> None:
        """Give a figure to the callbacks that keep figures; ``step`` is now unless given."""
        self._emit("on_figure", name, figure, self.progress.step if step is None else step)

    def state(self) -> dict[str, Any]:
        """All that continues the run from here to the same end: plain values and tensors, the weights under ``model``.

        Call between two steps.
        """
        self.look(regular=False)
        paths = [path for callback in self.callbacks for path in callback.files(self.folder)]
        return {
            "model": self.model.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.average is None else self.average.state_dict(),
            "progress": asdict(self.progress),
            "random": seeding.random_state(),
            "files": {path.name: path.stat().st_size for path in paths},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`; what the callbacks have written since then is cut off."""
        self.model.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["ema"])
        self.progress = Progress(**state["progress"])
        self.cut_files(state["files"])
        seeding.set_random_state(state["random"])

    def cut_files(self, lengths: dict[str, int]) -> None:
        """Cut the files that the callbacks append to back to these lengths in bytes, and remove those not named."""
        for path in [path for callback in self.callbacks for path in callback.files(self.folder)]:
            if path.name in lengths:
                os.truncate(path, lengths[path.name])
            else:
                path.unlink()

    def look(self, regular: bool) -> None:
        """Fetch the losses of the steps since the last look from the device, and tell the callbacks.

        Args:
            regular: at a step that is the same in every run; before a checkpoint, whose times differ, it is not.

        Raises:
            DivergedError: one of them is NaN or infinite.
        """
        if not self._pending:
            return
        progress, pending = self.progress, self._pending
        values = {name: torch.stack([means[name] for means, _ in pending]).tolist() for name in pending[0][0]}
        first = progress.step - len(pending) + 1
        losses = {first + place: loss for place, loss in enumerate(values["loss"])}
        for step, loss in losses.items():
            if not math.isfinite(loss):
                rate = self.base_rates[0] * self._factor(step - 1)
                raise DivergedError(
                    f"the training loss is {loss} in step {step} (epoch {progress.epoch + 1}) at learning rate"
                    f" {rate:.3g}; try a smaller optimizer.lr, or trainer.clip_norm=1"
                )
        counts = [count for _, count in pending]
        for name, means in values.items():
            total = sum(mean * count for mean, count in zip(means, counts, strict=True))
            progress.sums[name] = progress.sums.get(name, 0.0) + total
        progress.examples += sum(counts)
        now = time.perf_counter()
        log = StepLog(
            losses=losses,
            regular=regular,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            gradient_norm=None if self._gradient_norm is None else float(self._gradient_norm),
            images=sum(counts),
            seconds=now - self._clock,
        )
        self._clock, self._gradient_norm = now, None
        pending.clear()
        self._emit("on_log", log)

    def _is_regular(self, step: int) -> bool:
        """Whether the losses are looked at after this step in every run."""
        return step % self.options.log_every == 0 or step % self.steps_per_epoch == 0 or step == self.total_steps

    def _factor(self, step: int) -> float:
        return self.schedule.factor(step, self.total_steps, self.steps_per_epoch)

    def _set_learning_rate(self) -> None:
        factor = self._factor(self.progress.step)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor

    def _judge(self, metrics: dict[str, float]) -> bool:
        """Whether these metrics are the best so far; without validation data the newest always is."""
        progress = self.progress
        value = metrics.get(self.monitor)
        if value is not None and progress.best is not None:
            better = value > progress.best if self.higher_is_better else value < progress.best
            if not better:
                progress.since_best += 1
                return False
        progress.best, progress.best_epoch, progress.since_best = value, progress.epoch, 0
        progress.best_metrics = metrics
        return True

    def _emit(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)


def _named(split: str, scores: Scores) -> dict[str, float]:
    return {f"{split}/{name}": value for name, value in scores.metrics().items()}
