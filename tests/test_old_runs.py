"""What version 0.1 left opens with every verb, and continues: a training, a fine-tuning, a sweep, a reproduction."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dlrun as python
from dlrun.command import reproduce
from dlrun.config import saved
from tests.conftest import Dlrun, result

OLD = Path(__file__).parent / "fixtures" / "run_of_0_1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path / "old")
    return Path("old")


@pytest.mark.parametrize(
    "verb",
    [
        ("evaluate",),
        ("attack", "attack=fgsm", "check=0", "limit=20"),
        ("certify", "eps=0.01", "limit=5"),
        ("explain", "explainer=saliency", "limit=2", "randomize=false", "steps=0"),
        ("visualize", "visualizer=class_templates"),
        ("export", "format=state_dict"),
        ("predict", "input=digit.png"),
        ("inspect",),
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb_opens_it(dlrun: Dlrun, old: Path, verb: tuple[str, ...]) -> None:
    before = {file: file.read_bytes() for file in old.rglob("*") if file.is_file()}
    name, *overrides = verb
    Image.new("L", (8, 8), 100).save("digit.png")
    ended = dlrun(name, "run=old", *overrides, "hydra.run.dir=new")
    assert ended.status == 0, ended.err
    assert result(Path("new"))["status"] == "completed"
    assert {file: file.read_bytes() for file in old.rglob("*") if file.is_file()} == before
    if name == "evaluate":
        metrics = result(Path("new"))["metrics"]
        assert metrics["test/accuracy"] == pytest.approx(result(old)["metrics"]["test/accuracy"])


def test_it_is_finished_and_can_be_extended(dlrun: Dlrun, old: Path) -> None:
    ended = dlrun("train", "run=old")
    assert ended.status == 0, ended.err
    assert "finished already" in ended.out
    rows = (old / "metrics.csv").read_text().splitlines()
    ended = dlrun("train", "run=old", "trainer.epochs=4")
    assert ended.status == 0, ended.err
    assert "continuing after step" in ended.out
    extended = (old / "metrics.csv").read_text().splitlines()
    assert extended[:3] == rows
    assert len(extended) == 1 + 4
    assert torch.load(old / "checkpoints" / "last.pt", weights_only=True)["cursor"]["epoch"] == 4


def test_a_replay_gives_the_same_numbers(dlrun: Dlrun, old: Path) -> None:
    ended = dlrun("replay", "run=old", "hydra.run.dir=again")
    assert ended.status == 0 or "; environment: " in ended.err  # another processor rounds otherwise, which is said
    was, now = (np.loadtxt(f"{run}/metrics.csv", delimiter=",", skiprows=1) for run in ("old", "again"))
    np.testing.assert_allclose(now, was, rtol=1e-4)


def test_a_fine_tuning_is_read_finished_and_extended(dlrun: Dlrun, tmp_path: Path) -> None:
    shutil.copytree(OLD.parent / "finetune_of_0_1", "tuned")
    assert dlrun("evaluate", "run=tuned", "hydra.run.dir=evaluated").status == 0
    was, now = (result(Path(name))["metrics"]["test/accuracy"] for name in ("tuned", "evaluated"))
    assert now == pytest.approx(was, abs=1.5 / 359)  # another processor rounds otherwise
    ended = dlrun("finetune", "run=tuned", "cache=cache")
    assert ended.status == 0, ended.err
    assert "finished already" in ended.out
    rows = Path("tuned/metrics.csv").read_text().splitlines()
    ended = dlrun("finetune", "run=tuned", "trainer.epochs=3", "cache=cache")
    assert ended.status == 0, ended.err
    assert Path("tuned/metrics.csv").read_text().splitlines()[:3] == rows
    assert result(Path("tuned"))["epochs"] == 3


JOBS = {"optimizer.lr-0.1": 0.3955431754874652, "optimizer.lr-0.01": 0.15877437325905291}
"""Test accuracies that version 0.1 came to when nothing killed it."""


def test_a_sweep_that_was_killed_goes_on_to_what_it_would_have_come_to(dlrun: Dlrun) -> None:
    shutil.copytree(OLD.parent / "sweep_of_0_1", "grid")
    linear = ("model=linear", "dataset.image_size=4", "dataset.per_class=20", "trainer.epochs=2")
    sweep = ("-m", "optimizer.lr=0.1,0.01", *linear, "callback.tensorboard=null", "hydra.sweep.dir=grid")
    listed = dlrun("train", *sweep, "sweep.dry_run=true").out
    assert re.findall(r"(optimizer\.lr-[\d.]+) +│ (\w+)", listed) == list(
        zip(JOBS, ("completed", "unfinished"), strict=True)
    )
    before = {file: file.read_bytes() for file in Path("grid/optimizer.lr-0.1").rglob("*") if file.is_file()}
    ended = dlrun("train", *sweep)
    assert ended.status == 0, ended.err
    assert "finished already: grid/optimizer.lr-0.1" in ended.out
    assert "continuing after step 6 of 12" in ended.out
    assert {file: file.read_bytes() for file in before} == before
    found = python.Sweep("grid")
    assert {run.folder.name: run.result["metrics"]["test/accuracy"] for run in found.runs} == pytest.approx(JOBS)
    assert found.best.folder.name == "optimizer.lr-0.1"
    assert dlrun("evaluate", f"run={found.best.folder}", "hydra.run.dir=evaluated").status == 0
    assert result(Path("evaluated"))["metrics"]["test/accuracy"] == pytest.approx(JOBS["optimizer.lr-0.1"])


def test_a_reproduction_is_read_and_not_run_again(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(OLD.parent / "reproduced_of_0_1", "old")
    monkeypatch.setattr(reproduce, "call", lambda arguments: pytest.fail(f"{arguments} runs"))
    ended = dlrun("reproduce", "dense_layer", "folder=old/reproduced", "hydra.run.dir=new")
    assert ended.status == 0, ended.err
    assert result(Path("new"))["metrics"] == {"experiments": 1, "claims": 2, "not_met": 0}
    old, new = (Path(name, "report", "README.md").read_text().splitlines()[-2:] for name in ("old/report", "new"))
    assert new == old
    assert "38,654,902,272" in new[0]


@pytest.mark.parametrize(("batch_norm", "norm"), [("true", "batch"), ("false", "none")])
def test_what_was_called_batch_norm_is_a_norm(tmp_path: Path, batch_norm: str, norm: str) -> None:
    (tmp_path / "config.yaml").write_text(f"verb: train\nname: cnn-digits\nmodel:\n  batch_norm: {batch_norm}\n")
    assert saved.load(tmp_path).model == {"norm": norm}
