"""Sweeps: every job ends, one table, the exit status tells of failures."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tests.conftest import QUICK, Dlrun, result


def test_a_grid_is_one_table_best_first(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "optimizer.lr=0.1,0.0001", "dataset.batch_size=32,64", *QUICK, "hydra.sweep.dir=grid")
    assert ended.status == 0, ended.err
    with Path("grid/sweep.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    grid = {(row["optimizer.lr"], row["dataset.batch_size"]) for row in rows}
    assert grid == {("0.1", "32"), ("0.1", "64"), ("0.0001", "32"), ("0.0001", "64")}
    best = [float(row["val/accuracy"]) for row in rows]
    assert best == sorted(best, reverse=True)
    for row in rows:
        job = result(Path("grid") / row["folder"])
        assert row["status"] == job["status"] == "completed"
        assert row["test/accuracy"] == f"{job['metrics']['test/accuracy']:.4f}"
        assert f"optimizer.lr={row['optimizer.lr']}" in job["overrides"]
        assert "model" not in row  # an override that all jobs share is no column
        assert row["test/accuracy"] in ended.out
    markdown = Path("grid/sweep.md").read_text().splitlines()
    assert markdown[0] == "| optimizer.lr | dataset.batch_size | val/accuracy | test/accuracy | seconds | status |"
    assert len(markdown) == 2 + 4


def test_a_job_that_fails_does_not_stop_the_others(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "model=lenet,linear,alexnet", *QUICK[1:], "hydra.sweep.dir=mixed")
    assert ended.status == 1
    with Path("mixed/sweep.csv").open() as stream:
        rows = {row["model"]: row for row in csv.DictReader(stream)}
    assert rows["linear"]["status"] == "completed"
    assert rows["lenet"]["status"].startswith("failed: model: lenet takes images of 12x12 or more, not 8x8")
    assert rows["alexnet"]["status"].startswith("failed: model: alexnet takes")
    assert list(rows) == ["linear", *sorted({"alexnet", "lenet"})]
    assert not re.search(r"Traceback", ended.out + ended.err)


def test_a_sweep_with_a_wrong_choice_starts_no_job(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "model=linear,lenett", *QUICK[1:], "hydra.sweep.dir=grid")
    assert ended.status == 2
    assert ended.errors == [line for line in ended.errors if line.startswith("dlrun: model=lenett: no such choice")]
    assert not list(Path("grid").glob("*/config.yaml"))


def test_the_same_sweep_again_skips_what_is_done_and_takes_new_points(dlrun: Dlrun) -> None:
    sweep = (*QUICK, "hydra.sweep.dir=grid")
    assert dlrun("train", "-m", "optimizer.lr=0.1,0.01", *sweep).status == 0
    before = {
        file: (file.stat().st_mtime_ns, file.read_bytes()) for file in Path("grid").rglob("*/*") if file.is_file()
    }
    ended = dlrun("train", "-m", "optimizer.lr=0.1,0.01,0.001", *sweep)
    assert ended.status == 0, ended.err
    assert ended.out.count("finished already") == 2
    assert before == {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in before}
    with Path("grid/sweep.csv").open() as stream:
        assert {row["optimizer.lr"] for row in csv.DictReader(stream)} == {"0.1", "0.01", "0.001"}
