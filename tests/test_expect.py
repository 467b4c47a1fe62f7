"""Bounds on metrics: judged at a run's end, told, and part of its exit status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dlrun.errors import UserError
from dlrun.experiment import claims as expect
from tests.conftest import QUICK, Dlrun, result

RESULT = {"metrics": {"test/loss": 0.2, "test/pca_loss": 0.3}, "parameters": 650, "seconds": 1.5}


@pytest.mark.parametrize(
    ("metric", "bound", "met"),
    [
        ("test/loss", {"min": 0.2}, True),
        ("test/loss", {"min": 0.21}, False),
        ("test/loss", {"max": 0.2}, True),
        ("test/loss", {"max": 0.19}, False),
        ("test/loss", {"min": 0.1, "max": 0.19}, False),
        ("test/loss", {"max": "test/pca_loss"}, True),
        ("test/loss", {"min": "test/pca_loss"}, False),
        ("test/loss", {"max": "test/no_such"}, False),
        ("test/loss", {"max": "test/pca_loss - 0.09"}, True),
        ("test/loss", {"max": "test/pca_loss - 0.11"}, False),
        ("test/loss", {"min": "test/pca_loss - 0.11"}, True),
        ("test/loss", {"max": "test/no_such + 1"}, False),
        ("test/no_such", {"min": 0.0}, False),
        ("parameters", {"min": 650, "max": 650}, True),
        ("parameters", {"min": 651, "max": None}, False),
    ],
)
def test_a_bound_is_met_or_not(metric: str, bound: dict[str, Any], met: bool) -> None:
    (row,) = expect.judge({metric: bound}, RESULT)
    assert row["met"] is met


def test_a_claim_in_words() -> None:
    rows = expect.judge(
        {"test/loss": {"min": 0.1, "max": "test/pca_loss"}, "parameters": {"min": 650, "max": 650}}, RESULT
    )
    assert [row["claim"] for row in rows] == ["≥ 0.1000, ≤ 0.3000 (test/pca_loss)", "650"]


def test_nan_meets_nothing() -> None:
    rows = expect.judge({"a": {"min": 0.0}, "b": {"max": 0.0}}, {"metrics": {"a": float("nan"), "b": float("nan")}})
    assert not any(row["met"] for row in rows)


def test_a_bound_on_a_metric_that_will_not_be_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"expect\.test/acuracy=test/acuracy: no such metric; did you mean"):
        expect.check_names({"test/acuracy": {"min": 0.9}}, ["test/accuracy"])
    with pytest.raises(UserError, match=r"expect\.test/accuracy\.min=baseline: no such metric"):
        expect.check_names({"test/accuracy": {"min": "baseline"}}, ["test/accuracy"])
    with pytest.raises(UserError, match=r"expect\.test/accuracy\.min=baseline - 0\.1: no such metric"):
        expect.check_names({"test/accuracy": {"min": "baseline - 0.1"}}, ["test/accuracy"])
    expect.check_names({"pgd/robust_accuracy": {"min": 0.9}}, ["test/accuracy"], ["pgd"])


def test_a_run_that_meets_its_bounds_exits_with_0_and_one_that_does_not_with_1(dlrun: Dlrun) -> None:
    good = dlrun("train", *QUICK, "hydra.run.dir=run", "expect={test/accuracy: {min: 0.5}, parameters: {max: 650}}")
    assert good.status == 0, good.err
    assert [row["met"] for row in result(Path("run"))["expect"]] == [True, True]
    assert "NOT MET" not in good.out
    # The same run again: it is finished, and held to the new bounds.
    bad = dlrun("train", *QUICK, "hydra.run.dir=run", "expect={test/accuracy: {min: 0.5, max: 0.6}}")
    assert bad.status == 1
    assert bad.errors == ["dlrun: expect: not met for test/accuracy"]
    assert "finished already" in bad.out
    assert "NOT MET" in bad.out
    assert result(Path("run"))["status"] == "completed"
    assert [row["met"] for row in result(Path("run"))["expect"]] == [False]


def test_a_sweep_with_a_bound_that_is_not_met_runs_on_and_exits_with_1(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", *QUICK, "seed=0,1", "expect={test/accuracy: {max: 0.1}}", "hydra.sweep.dir=grid")
    assert ended.status == 1
    assert Path("grid/sweep.md").read_text().count("completed, not met: test/accuracy") == 2


@pytest.mark.parametrize(
    ("bounds", "line"),
    [
        ("{test/acc: {min: 0.5}}", "dlrun: expect.test/acc=test/acc: no such metric; did you mean 'test/accuracy'?"),
        ("{test/accuracy: {mim: 0.5}}", "dlrun: expect.test/accuracy.mim: no such key; did you mean 'min'?"),
    ],
)
def test_a_wrong_bound_is_refused_before_any_training(dlrun: Dlrun, bounds: str, line: str) -> None:
    ended = dlrun("train", *QUICK, f"expect={bounds}")
    assert ended.status == 2
    assert ended.errors[0].startswith(line)
    assert not list(Path("runs").rglob("config.yaml"))


@pytest.mark.parametrize(
    ("metric", "bound", "idle"),
    [
        ("test/accuracy", {"min": 0.0, "max": 1.0}, True),
        ("test/accuracy", {"min": 0.0}, True),
        ("test/accuracy", {"min": 0.0, "max": 0.9}, False),
        ("test/accuracy", {"max": "test/accuracy"}, True),
        ("test/loss", {"max": 1e40}, True),
        ("test/loss", {"min": -1.0}, True),
        ("test/loss", {"max": 1.0}, False),
        ("test/anything", {"max": 1e40}, True),
        ("test/anything", {"min": 0.0}, False),
        ("parameters", {"min": 0}, True),
        ("test/accuracy", {"min": None, "max": None}, False),
        ("test/accuracy", {}, True),
    ],
)
def test_a_bound_that_nothing_could_break_is_refused(metric: str, bound: dict[str, Any], idle: bool) -> None:
    found = expect.faults({metric: bound})
    assert [f"expect.{metric}=" in line for line in found] == [True] * idle


def test_what_follows_names_the_run_where_it_likes(dlrun: Dlrun) -> None:
    head = "finetune model.backbone={run} dataset=digits dataset.image_size=8 dataset.normalize=false trainer.epochs=2"
    other = f"train run=null {' '.join(QUICK)} seed=1"
    bounds = "{head/test/accuracy: {min: 0.5}, again/test/accuracy: {min: head/test/accuracy, max: head/test/accuracy}}"
    ended = dlrun(
        "train",
        *QUICK,
        "model=mlp",
        "hydra.run.dir=first run",
        f"then={{head: '{head}', again: 'evaluate run={{run}}/head', plain: evaluate, other: '{other}'}}",
        f"expect={bounds}",
    )
    assert ended.status == 0, ended.err
    metrics = result(Path("first run"))["metrics"]
    assert metrics["plain/test/accuracy"] == metrics["test/accuracy"] != metrics["again/test/accuracy"]
    assert result(Path("first run/other"))["parameters"] == 650
    assert OmegaConf.load("first run/head/config.yaml").model.backbone._target_ == "dlrun.model.mlp.MLP"
