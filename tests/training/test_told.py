"""What a training tells loggers, callbacks, the task, and who continues it."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlrun import weights as weights_file
from dlrun.callback.callback import Callback, StepLog
from dlrun.dataset.batch import Batch
from dlrun.logger.logger import Logger
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.constant import Constant
from dlrun.scheduler.cosine import Cosine
from dlrun.scheduler.schedule import Schedule
from dlrun.task.classification import Classification, ClassificationScores
from dlrun.task.task import Clock, Forward, Net, Scores
from dlrun.training import checkpoint
from dlrun.training.trainer import Trainer
from tests.training.test_trainer import network, trainer


def test_the_steps_that_end_an_epoch_are_known_in_the_look_at_them() -> None:
    class Ends(Callback):
        def __init__(self) -> None:
            self.found: dict[int, bool] = {}

        def on_log(self, trainer: Trainer, log: StepLog) -> None:
            self.found |= {step: trainer.ends_epoch(step) for step in range(log.first, log.first + len(log.examples))}

    made, _ = trainer(epochs=3, log_every=2)  # five batches an epoch
    made.callbacks = {"ends": (ends := Ends())}
    made.fit()
    assert ends.found == {step: step % 5 == 0 for step in range(1, 16)}
    with (made.folder / "metrics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("epoch", "step", "learning_rate"),
        *("train/loss", "train/accuracy", "val/loss", "val/accuracy"),
    ]
    assert [(row["epoch"], row["step"], row["learning_rate"]) for row in rows] == [
        ("1", "5", "0.1"),
        ("2", "10", "0.1"),
        ("3", "15", "0.1"),
    ]


def test_a_logger_is_given_each_figure_at_its_step_or_epoch() -> None:
    class Points(Logger):
        name = "points"

        def __init__(self) -> None:
            self.found: dict[str, list[int]] = {}

        def begin(
            self,
            hparams: Mapping[str, Any],
            metrics: Sequence[str],
            first: Collection[str],
            names: Collection[str],
            config: str,
        ) -> None:
            self.compared, self.names, self.config = metrics, names, config

        def scalars(self, values: Mapping[str, float], step: int) -> None:
            for tag in values:
                self.found.setdefault(tag, []).append(step)

    made, _ = trainer(epochs=2, log_every=3)  # five steps an epoch
    made.recorder = Recorder(made.folder, [points := Points()])
    (made.folder / "config.yaml").write_text("seed: 0\n", encoding="utf-8")
    made.fit()
    assert points.compared == ["best/val_accuracy", "test/accuracy"]
    assert (points.names, points.config) == (["loss", "accuracy"], "seed: 0\n")
    epochs = [f"{split}/{name}" for split in ("train", "val") for name in ("loss", "accuracy")]
    assert {tag: points.found[tag] for tag in epochs} == {tag: [1, 2] for tag in epochs}
    assert points.found["best/val_accuracy"] == [1, 2]
    assert points.found["step/loss"] == [*range(1, 11)]
    for name in ("learning_rate", "images_per_second", "gradient_norm"):
        assert points.found[f"step/{name}"] == [3, 5, 6, 9, 10]
    assert "step/accuracy" not in points.found
    assert points.found["test/accuracy"] == [made.cursor.best_epoch]


def test_a_task_prepares_with_the_model_and_the_time_of_the_step() -> None:
    told: list[tuple[Net, Clock]] = []

    class Told(Classification):
        def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
            told.append((net, clock))
            return super().prepare(net, batch, clock)

    made, _ = trainer(epochs=2)
    made.phase.step.task = Told(nn.CrossEntropyLoss(), 2)  # of the steps alone, not of the scoring
    made.fit()
    assert [clock for _, clock in told] == [Clock(step, step // 5, 5, training=True) for step in range(10)]
    assert all(net is made.model for net, _ in told)


def test_images_per_second_leave_out_the_time_of_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("dlrun.training.trainer.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Second(Classification):
        def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
            now[0] += 1
            return super().loss(net, batch, player)

    class Hour(Callback):
        def __init__(self) -> None:
            self.rates: list[float] = []

        def on_step_end(self, trainer: Trainer) -> None:
            now[0] += 3600

        def on_log(self, trainer: Trainer, log: StepLog) -> None:
            self.rates.append(log.images_per_second)
            now[0] += 3600

    made, _ = trainer(epochs=2, log_every=2)  # batches of 10, the last of each epoch of 5
    made.phase.step.task = Second(nn.CrossEntropyLoss(), 2)
    made.callbacks = {"hour": (hour := Hour())}
    made.fit()
    assert hour.rates == pytest.approx([20 / 2, 20 / 2, 5 / 1, 10 / 1, 20 / 2, 15 / 2])


def test_a_run_that_was_tested_knows_its_result_again() -> None:
    made, _ = trainer(epochs=1)
    made.fit()
    made.save()
    again, _ = trainer(epochs=1)
    again.open(checkpoint.newest(made.folder))
    assert again.result == made.result
    assert again.result.keys() == {"test/loss", "test/accuracy"}


def test_callbacks_measure_and_see_the_test_of_the_best_epoch() -> None:
    class Seen(Callback):
        def measure(self, trainer: Trainer) -> dict[str, float]:
            return {"test/steps": float(trainer.cursor.step)}

        def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
            self.metrics, self.scores = metrics, scores

    made, _ = trainer(epochs=3)
    made.callbacks = {"seen": (seen := Seen())}
    made.fit()
    assert list(made.result) == ["test/loss", "test/accuracy", "test/steps"]
    assert seen.metrics == made.result
    assert made.result["test/steps"] == 15
    best = weights_file.load(made.folder / checkpoint.FOLDER / checkpoint.BEST)["model"]
    model = Normalized(network(), [0.5], [0.25])
    model.network.load_state_dict(best)
    batch = made.data.test.examples(torch.arange(20))
    logits = model(batch["image"]).detach()
    assert made.result["test/loss"] == pytest.approx(float(F.cross_entropy(logits, batch["target"])), rel=1e-5)
    assert isinstance(seen.scores, ClassificationScores)
    torch.testing.assert_close(seen.scores.logits, logits)


def test_the_best_epoch_is_kept_with_its_step_and_metrics() -> None:
    made, watch = trainer(epochs=4)
    made.fit()
    best = weights_file.load(made.folder / checkpoint.FOLDER / checkpoint.BEST)
    epoch = made.cursor.best_epoch
    assert (best["epoch"], best["step"], best["metrics"]) == (epoch, 5 * epoch, watch.epochs[epoch - 1])
    assert best["metrics"]["val/accuracy"] == max(metrics["val/accuracy"] for metrics in watch.epochs)


@pytest.mark.parametrize(
    ("place", "epochs", "where"),
    [
        ("follow", 4, "continuing after step 20 of 20, next is follow"),
        ("epoch_end", 4, "continuing after step 20 of 20, next is epoch end"),
        ("follow", 300, "continuing after step 20 of 1,500, in epoch 5"),
    ],
)
def test_a_run_that_goes_on_says_where(place: str, epochs: int, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    made, _ = trainer(epochs=4)
    made.fit()
    made.cursor.next = place  # type: ignore[assignment]
    made.save()
    longer, _ = trainer(epochs=epochs)
    capsys.readouterr()
    longer.open(checkpoint.newest(made.folder))
    assert capsys.readouterr().out.strip().splitlines()[-1] == where


def test_a_schedule_that_ends_later_and_raises_the_rate_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def again(schedule: Schedule, epochs: int) -> tuple[str, Path]:
        first, _ = trainer(epochs=4, schedule=schedule)
        first.fit()
        longer, _ = trainer(epochs=epochs, schedule=schedule)
        capsys.readouterr()
        longer.open(checkpoint.newest(first.folder))
        return capsys.readouterr().out, longer.folder

    said, folder = again(Cosine(), 8)
    assert " ".join(said.split()).startswith(
        "warning: the learning rate rises from 0.00062 to 0.05, for its schedule now ends later; to train on gently,"
        f" begin a new run: weights={folder}/checkpoints/last.pt optimizer.lr=... continuing"
    )
    assert "warning" not in again(Constant(), 8)[0]
