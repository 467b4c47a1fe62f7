"""Runs of version 0.1 open with every verb, and continue: a training, and a fine-tuning of another run's network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
    assert now == pytest.approx(was)
    ended = dlrun("finetune", "run=tuned", "cache=cache")
    assert ended.status == 0, ended.err
    assert "finished already" in ended.out
    rows = Path("tuned/metrics.csv").read_text().splitlines()
    ended = dlrun("finetune", "run=tuned", "trainer.epochs=3", "cache=cache")
    assert ended.status == 0, ended.err
    assert Path("tuned/metrics.csv").read_text().splitlines()[:3] == rows
    assert result(Path("tuned"))["epochs"] == 3
