"""Runs that continue: to the same bits, from a whole checkpoint, and never with another config."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dlrun import weights
from dlrun.config.plan import fresh
from dlrun.errors import UserError
from dlrun.training import checkpoint
from dlrun.training.trainer import Trainer
from tests import resume_table
from tests.conftest import QUICK, Dlrun, Train, result
from tests.forks import started, status_of

KILLS = os.environ.get("DLRUN_KILLS", "2")
RUN = (*QUICK, "hydra.run.dir=mine")


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("memory", "SIGKILL"), ("stream", "SIGKILL"), ("memory", "SIGTERM"), ("stream", "SIGTERM")]
)
def test_a_killed_run_ends_as_one_that_was_not(arguments: tuple[str, str]) -> None:
    path, signal_name = arguments
    if KILLS == "2" and arguments == ("stream", "SIGTERM"):
        pytest.skip("its parts are tried one by one: the whole is in make torture")
    command = [sys.executable, "-m", "tests.torture", path, KILLS, signal_name]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{path}: {KILLS} times {signal_name}; identical")


@pytest.mark.slow
@pytest.mark.parametrize("name", resume_table.QUICK)
def test_a_training_of_any_kind_that_is_killed_three_times_ends_as_one_that_was_not(name: str) -> None:
    command = [sys.executable, "-m", "tests.resume_table", name]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"\| {name} \| [23] of 3 \| \d+ \| identical \|", done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_killed_sweep_ends_as_one_that_was_not(launcher: str, signal_name: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    if KILLS == "2" and (launcher, signal_name) != ("basic", "SIGKILL"):
        pytest.skip("half a minute each: in make torture")
    command = [sys.executable, "-m", "tests.torture", launcher, "1", signal_name]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{launcher}: 1 times {signal_name}; identical")


def test_a_finished_run_says_so_and_is_left_alone(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    before = contents(Path("mine"))
    for again in (("train", *RUN), ("train", "run=mine")):
        ended = dlrun(*again)
        assert ended.status == 0, ended.err
        assert "finished already: mine" in ended.out
    assert contents(Path("mine")) == before


def test_a_training_on_chosen_classes_is_finished_and_read_like_any_other(dlrun: Dlrun) -> None:
    chosen = (*QUICK, "dataset.classes=[1,3,8]", "hydra.run.dir=run")
    assert dlrun("train", *chosen).status == 0
    assert result(Path("run"))["parameters"] == (64 + 1) * 3
    again = dlrun("train", *chosen)
    assert again.status == 0, again.err
    assert "finished already" in again.out
    assert dlrun("evaluate", "run=run").status == 0
    assert dlrun("train", "run=run", "trainer.epochs=3").status == 0
    assert result(Path("run"))["epochs"] == 3


def test_more_epochs_extend_a_finished_run(dlrun: Dlrun, train_once: Train) -> None:
    constant = ("scheduler=constant", *QUICK)
    train_once(*constant, "hydra.run.dir=mine")
    assert dlrun("train", "run=mine", "trainer.epochs=4").status == 0
    assert dlrun("train", *constant, "hydra.run.dir=whole", "trainer.epochs=4").status == 0
    extended, whole = (weights.load(Path(name) / "checkpoints" / "last.pt")["model"] for name in ("mine", "whole"))
    assert all(torch.equal(extended[name], whole[name]) for name in whole)
    assert Path("mine/metrics.csv").read_text() == Path("whole/metrics.csv").read_text()
    assert result(Path("mine"))["epochs"] == 4


def test_a_run_that_is_killed_while_extended_is_not_finished(
    dlrun: Dlrun, train_once: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_once("scheduler=constant", *RUN)
    assert result(Path("mine"))["goal"] == {"epochs": 2, "steps": None, "patience": None}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        assert status_of(lambda: dlrun("train", "run=mine", "trainer.epochs=4")) == -signal.SIGKILL
    left = result(Path("mine"))
    assert (left["status"], left["metrics"], left["goal"]["epochs"]) == ("running", {}, 4)
    again = dlrun("train", "run=mine", "trainer.epochs=4")
    assert again.status == 0, again.err
    assert "finished already" not in again.out
    assert result(Path("mine"))["epochs"] == 4
    assert len(Path("mine/metrics.csv").read_text().splitlines()) == 1 + 4


def test_a_run_keeps_its_overrides_and_choices_when_it_goes_on(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    assert result(Path("mine"))["overrides"] == list(QUICK)
    assert dlrun("train", "run=mine", "trainer.epochs=3", "trainer.log_every=7").status == 0
    found = result(Path("mine"))
    assert found["overrides"] == [*(text.replace("epochs=2", "epochs=3") for text in QUICK), "trainer.log_every=7"]
    assert (found["choices"]["model"], found["choices"]["dataset"]) == ("linear", "digits")


def test_the_name_of_a_choice_is_hydras(dlrun: Dlrun) -> None:
    assert dlrun("train", *RUN, "name=any").status == 0
    assert dlrun("evaluate", "run=mine", "hydra.run.dir=test").status == 0
    assert result(Path("test"))["choices"]["model"] == "linear"
    found = result(Path("mine"))
    del found["choices"]  # as of an earlier version
    Path("mine/result.json").write_text(json.dumps(found))
    assert dlrun("evaluate", "run=mine", "hydra.run.dir=again").status == 0
    assert result(Path("again"))["choices"]["model"] == "Linear"


def test_patience_that_ended_a_run_is_named_where_more_is_asked_for(dlrun: Dlrun) -> None:
    patient = (*QUICK, "trainer.epochs=9", "trainer.patience=1", "optimizer.lr=1e-9", "hydra.run.dir=mine")
    assert dlrun("train", *patient).status == 0
    assert result(Path("mine"))["epochs"] < 9
    ended = dlrun("train", "run=mine", "trainer.epochs=12")
    assert ended.status == 0, ended.err
    assert "finished already: mine, by trainer.patience=1; trainer.patience=N with N > 1 goes on" in ended.out
    more = dlrun("train", "run=mine", "trainer.patience=3")
    assert more.status == 0, more.err
    assert "finished already" not in more.out


def test_another_config_is_refused_with_its_keys(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    before = contents(Path("mine"))
    ended = dlrun("train", *RUN, "optimizer.lr=0.3", "dataset.batch_size=7")
    assert ended.status == 2
    assert ended.errors == [
        "dlrun: hydra.run.dir=mine: the run in this folder has another config:"
        " dataset.batch_size (was 32, is 7), optimizer.lr (was 0.05, is 0.3)"
    ]
    assert contents(Path("mine")) == before


def test_a_wrong_input_to_a_finished_run_leaves_its_result(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    before = Path("mine/result.json").read_bytes()
    ended = dlrun("train", "run=mine", "trainer.epochs=3", "trainer.device=cuda:99")
    assert ended.status == 2
    assert "trainer.device=cuda:99" in ended.err
    assert Path("mine/result.json").read_bytes() == before


def test_another_verb_does_not_write_into_a_run(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    before = contents(Path("mine"))
    ended = dlrun("evaluate", "run=mine", "hydra.run.dir=mine")
    assert ended.status == 2
    assert "there is a run in this folder already" in ended.err
    assert contents(Path("mine")) == before


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(dlrun: Dlrun, train_once: Train, damage: str) -> None:
    train_once(*RUN)
    whole = Path("mine/metrics.csv").read_text()
    last = Path("mine/checkpoints/last.pt")
    data = bytearray(last.read_bytes())
    if damage == "flip":
        data[data.index(b"PK", 100) // 2] ^= 1
    last.write_bytes(bytes(data[: {"cut": len(data) // 2, "flip": len(data), "empty": 0}[damage]]))
    ended = dlrun("train", "run=mine", "trainer.epochs=3")
    assert ended.status == 0, ended.err
    assert "warning: checkpoint=mine/checkpoints/last.pt" in ended.out
    assert "continuing after step 82 of" in ended.out  # that of the end of the training, before its test
    assert Path("mine/metrics.csv").read_text().splitlines()[:2] == whole.splitlines()[:2]


def test_no_damage_of_a_checkpoint_passes_unnoticed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(40, 40)
    state = {"model": {"weight": weight}, "progress": {"epoch": 3}}
    path = tmp_path / "last.pt"
    weights.save(state, path)
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for trial in range(200):
        if trial % 2:
            data = whole[: rng.randrange(len(whole))]
        else:
            flipped = bytearray(whole)
            flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            data = bytes(flipped)
        path.write_bytes(data)
        try:
            found = weights.load(path)
        except UserError:
            refused += 1
        else:  # the flipped bit was in the padding between the records
            assert torch.equal(found["model"]["weight"], weight)
            assert found["progress"] == state["progress"]
    assert refused > 150


def test_a_replay_is_identical_and_says_what_differs_if_not(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    ended = dlrun("replay", "run=mine")
    assert ended.status == 0, ended.err
    assert "identical to mine" in ended.out
    lines = Path("mine/metrics.csv").read_text().splitlines()
    Path("mine/metrics.csv").write_text("\n".join([*lines[:2], lines[2].replace("0.", "0.1", 1)]) + "\n")
    ended = dlrun("replay", "run=mine")
    assert ended.status == 1
    assert "metrics from epoch 2 on" in ended.err
    assert "environment: the same" in ended.err


def test_a_replay_compares_the_weights(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*RUN)
    file = Path("mine/checkpoints/last.pt")
    state = weights.load(file)
    name = next(name for name, tensor in state["model"].items() if tensor.is_floating_point())
    state["model"][name].view(-1)[0] += 1e-6
    weights.save(state, file)
    ended = dlrun("replay", "run=mine")
    assert ended.status == 1
    assert f"weights: 1 of {len(state['model'])} tensors" in ended.err
    assert "metrics" not in ended.err


def test_checkpoints_within_an_epoch_come_by_steps(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    write, steps = checkpoint.write, list[int]()

    def noting(run: Path, state: dict[str, Any]) -> None:
        steps.append(state["cursor"]["step"])
        write(run, state)

    monkeypatch.setattr(checkpoint, "write", noting)
    assert dlrun("train", *RUN, "trainer.steps=45", "callback.checkpoint.every_steps=10").status == 0
    assert steps == [10, 20, 30, 40, 41, 45, 45]  # by steps, at both epochs' ends, and after the test
    ended = dlrun("train", *QUICK, "callback.checkpoint.every_minutes=0", "hydra.run.dir=other")
    assert ended.status == 2
    assert "every_minutes=0" in ended.err


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{number}.txt" for number in range(20)]
    children = [started(lambda: print(fresh(str(tmp_path / "runs" / "now"))), output) for output in outputs]
    for child in children:
        child.join()
    folders = {Path(output.read_text().strip()) for output in outputs}
    assert len(folders) == 20
    assert set((tmp_path / "runs").iterdir()) == folders


def test_a_full_disk_ends_the_run_with_a_sentence_and_costs_nothing(
    dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dlrun("train", *QUICK, "hydra.run.dir=whole", "trainer.epochs=4").status == 0
    sync, calls = os.fsync, 0

    def full(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        ended = dlrun("train", *QUICK, "hydra.run.dir=mine", "trainer.epochs=4")
    assert ended.status == 1
    (line,) = ended.errors
    assert re.fullmatch(r"dlrun: mine/.*: cannot be written: No space left on device; what was .* untouched", line)
    assert not list(Path("mine").rglob(".*.pt.*"))
    assert checkpoint.newest(Path("mine")) is not None
    assert dlrun("train", "run=mine").status == 0
    assert Path("mine/metrics.csv").read_text() == Path("whole/metrics.csv").read_text()


def test_a_folder_that_takes_no_files_is_named(dlrun: Dlrun) -> None:
    Path("file").write_text("")
    for flag in ("hydra.run.dir=file/run", "hydra.sweep.dir=file/sweep"):
        arguments = ("-m", "optimizer.lr=0.1,0.2") if "sweep" in flag else ()
        ended = dlrun("train", *arguments, *QUICK, flag)
        assert ended.status in (1, 2)
        (line,) = ended.errors
        assert line.startswith(f"dlrun: {flag.split('=')[1]}")
        assert "Not a directory" in line
