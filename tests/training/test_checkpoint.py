"""The checkpoints of a run: which is the newest whole one, what a late NaN takes back, and the best epoch's weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from dlrun import weights
from dlrun.callback.checkpoint import Checkpoint
from dlrun.errors import UserError
from dlrun.scheduler.schedule import Schedule
from dlrun.training import checkpoint
from dlrun.training.cursor import Cursor
from dlrun.training.diverged import DivergedError
from tests.training.test_trainer import trainer


def state(step: int, validated: bool = False) -> dict[str, Any]:
    """Of a training after so many steps, at the end of an epoch of ten or within it."""
    metrics = {"val/loss": 1.0} if validated else {}
    cursor = Cursor(step=step, epoch=step // 10, metrics=metrics)
    return {"model": {"w": torch.tensor(float(step))}, "cursor": asdict(cursor), "best": None}


def best(step: int) -> dict[str, Any]:
    return {"model": {"w": torch.tensor(float(step))}, "epoch": step // 10, "step": step, "metrics": {"val/loss": 1.0}}


def steps(run: Path) -> dict[str, float]:
    """By file the step that its weights come from."""
    folder = run / checkpoint.FOLDER
    return {file.stem: float(weights.load(file)["model"]["w"]) for file in sorted(folder.glob("*.pt"))}


def test_the_one_before_is_kept_and_takes_the_place_of_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint.newest(tmp_path) is None
    for step in (5, 10):
        checkpoint.write(tmp_path, {**state(step), "best": best(step) if step == 5 else None})
    assert steps(tmp_path) == {"best": 5, "last": 10, "previous": 5}
    newest = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest["cursor"]["step"] == 10
    (tmp_path / checkpoint.FOLDER / checkpoint.LAST).write_bytes(b"cut")
    newest = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest["cursor"]["step"] == 5
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"warning: checkpoint={tmp_path}")
    assert said.endswith("; looking for the one before")


@pytest.mark.parametrize(
    ("previous", "last", "validated", "at", "left"),
    [
        (10, 15, False, 13, {"best": 10, "last": 10}),  # the loss of step 13 was NaN, and 15 was saved before a look
        (10, 13, False, 13, {"best": 10, "last": 10}),
        (10, 15, False, 16, {"best": 10, "last": 15, "previous": 10}),  # saved before the step that failed
        (13, 15, False, 12, {}),  # both saved after it; and the best too
        (10, 20, True, 13, {"best": 10, "last": 20, "previous": 10}),  # the loss of the validation was finite
    ],
)
def test_what_was_saved_after_a_loss_that_is_nan_is_taken_back(
    tmp_path: Path, previous: int, last: int, validated: bool, at: int, left: dict[str, float]
) -> None:
    checkpoint.write(tmp_path, {**state(previous), "best": best(previous)})
    checkpoint.write(tmp_path, state(last, validated))
    checkpoint.take_back(tmp_path, at)
    assert steps(tmp_path) == left


def test_weights_of_a_best_epoch_that_is_taken_back_are_those_of_the_last_good_checkpoint(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, state(10))
    checkpoint.write(tmp_path, {**state(15), "best": best(15)})
    checkpoint.take_back(tmp_path, 13)
    assert steps(tmp_path) == {"best": 10, "last": 10}
    found = weights.load(tmp_path / checkpoint.FOLDER / checkpoint.BEST)
    assert (found["epoch"], found["step"], found["metrics"]) == (1, 10, {})


def test_a_best_epoch_that_ended_with_the_step_that_failed_is_taken_back(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, state(10))
    checkpoint.write(tmp_path, {**state(15), "best": best(13)})
    checkpoint.take_back(tmp_path, 13)
    assert steps(tmp_path) == {"best": 10, "last": 10}


def test_without_a_best_epoch_the_checkpoints_alone_are_taken_back(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, state(10))
    checkpoint.write(tmp_path, state(15))
    checkpoint.take_back(tmp_path, 13)
    assert steps(tmp_path) == {"last": 10}


def test_nothing_saved_is_nothing_taken_back(tmp_path: Path) -> None:
    checkpoint.take_back(tmp_path, 1)
    assert steps(tmp_path) == {}


def test_a_state_of_version_0_1_is_brought_into_todays_form() -> None:
    progress = {"epoch": 3, "step": 30, "stopped": "no better validation"}
    parts = {"optimizer": {"a": 1}, "scaler": {}, "ema": None, "random": {"torch": 2}, "files": {"log.txt": 4}}
    found = checkpoint.upgraded({"model": {"w": 0}, "progress": progress, **parts})
    assert found["cursor"] == {"epoch": 3, "step": 30, "stopped": "patience", "next": "test"}
    assert found["step"] == {"optimizers": {"": {"a": 1}}, "scaler": {}}
    assert found["recorder"] == {"files": {"log.txt": 4}, "loggers": {}}
    assert (found["model"], found["average"], found["random"], found["best"]) == ({"w": 0}, None, {"torch": 2}, None)
    assert found["pending"] == {"values": {}, "examples": []}
    assert (found["callbacks"], found["result"]) == ({}, {})
    for stopped, then in (("pruned", {"next": "test"}), (None, {})):
        again = checkpoint.upgraded({"model": {}, "progress": {**progress, "stopped": stopped}, **parts})
        assert again["cursor"] == {"epoch": 3, "step": 30, "stopped": stopped, **then}
    assert checkpoint.upgraded(found) is found
    with pytest.raises(UserError, match="weights alone; expected the last"):
        checkpoint.upgraded({"model": {}})


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_best_epochs_weights_are_kept_until_they_are_saved(ema: float | None) -> None:
    made, watch = trainer(epochs=6, lr=2.0, ema=ema)  # with this rate epochs get worse again
    made.callbacks = {**made.callbacks, "checkpoint": Checkpoint(every_minutes=None, every_epoch=False)}
    kept: dict[str, torch.Tensor] = {}

    def keep(of: Any, metrics: dict[str, float], improved: bool) -> None:
        watch.improved.append(improved)
        if improved:
            kept.update({name: value.clone() for name, value in of.eval_model.network.state_dict().items()})

    watch.on_epoch_end = keep  # type: ignore[method-assign, assignment]
    made.fit()
    assert watch.improved.count(True) < 6
    assert not watch.improved[-1]
    saved = weights.load(made.folder / checkpoint.FOLDER / checkpoint.BEST)
    assert saved["epoch"] == made.cursor.best_epoch == 1 + max(i for i, better in enumerate(watch.improved) if better)
    assert {name: value.tolist() for name, value in saved["model"].items()} == {
        name: value.tolist() for name, value in kept.items()
    }


def test_of_equal_epochs_the_first_is_the_best() -> None:
    made, watch = trainer(epochs=3, lr=1e-12, monitor="val/accuracy")
    made.fit()
    assert watch.improved == [True, False, False]
    made, watch = trainer(epochs=3, lr=1e-30, monitor="val/loss")
    made.fit()
    assert watch.improved == [True, False, False]


@pytest.mark.parametrize(("good", "left"), [(0, {}), (2, {"last": 2.0})])
def test_a_training_that_diverges_takes_back_the_weights_that_a_loss_showed_to_be_bad(
    good: int, left: dict[str, float]
) -> None:
    """The step after the good ones leaves huge weights; its own loss was finite, and so it was saved."""

    class Leap(Schedule):
        def after_warmup(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
            return 1e38 if step == good else 1e-2

    made, _ = trainer(epochs=1, log_every=1, schedule=Leap())
    made.callbacks = {"checkpoint": Checkpoint(every_minutes=None, every_steps=1)}
    with pytest.raises(DivergedError) as caught:
        made.fit()
    assert caught.value.step == good + 1
    folder = made.folder / checkpoint.FOLDER
    assert {file.stem: weights.load(file)["cursor"]["step"] for file in folder.glob("*.pt")} == left
