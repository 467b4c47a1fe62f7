"""Sweeps: every job ends, one table, the exit status tells of failures."""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from scipy import stats

from dlrun.run.sweep_table import table_rows
from tests.conftest import QUICK, Dlrun, Train, result


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


def test_a_job_with_a_wrong_config_is_a_row_of_the_table(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", *QUICK[:2], *QUICK[3:], "trainer.epochs=0,1", "hydra.sweep.dir=mixed")
    assert ended.status == 1
    with Path("mixed/sweep.csv").open() as stream:
        rows = {row["trainer.epochs"]: row["status"] for row in csv.DictReader(stream)}
    assert rows == {"1": "completed", "0": "failed: trainer.epochs=0: expected greater than 0"}


def test_a_sweep_with_a_wrong_choice_starts_no_job(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "model=linear,lenett", *QUICK[1:], "hydra.sweep.dir=grid")
    assert ended.status == 2
    (line,) = ended.errors
    assert line.startswith("dlrun: model=lenett: no such choice; did you mean 'lenet'?")
    assert not Path("grid").exists()


def test_a_job_that_was_killed_is_unfinished_and_one_at_work_is_running(dlrun: Dlrun, train_once: Train) -> None:
    sweep = ("-m", "optimizer.lr=0.1,0.01", *QUICK, "hydra.sweep.dir=grid")
    train_once(*sweep)
    file = Path("grid/optimizer.lr-0.1/result.json")
    file.write_text(file.read_text().replace('"completed"', '"running"'))
    with FileLock(file.with_name(".lock")):
        assert {row["job"]: row["status"] for row in table_rows(Path("grid"))}["optimizer.lr-0.1"] == "running"
    assert re.search(r"optimizer\.lr-0\.1 +│ unfinished", dlrun("train", *sweep, "sweep.dry_run=true").out)
    again = dlrun("train", *sweep)
    assert again.status == 0, again.err
    assert again.out.count("finished already") == 1
    assert result(file.parent)["status"] == "completed"


def test_the_same_sweep_again_skips_what_is_done_and_takes_new_points(dlrun: Dlrun, train_once: Train) -> None:
    sweep = (*QUICK, "hydra.sweep.dir=grid")
    train_once("-m", "optimizer.lr=0.1,0.01", *sweep)
    before = {
        file: (file.stat().st_mtime_ns, file.read_bytes())
        for file in Path("grid").glob("optimizer*/**/*")
        if file.is_file()
    }
    ended = dlrun("train", "-m", "optimizer.lr=0.1,0.01,0.001", *sweep)
    assert ended.status == 0, ended.err
    assert ended.out.count("finished already") == 2
    assert before == {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in before}
    with Path("grid/sweep.csv").open() as stream:
        assert {row["optimizer.lr"] for row in csv.DictReader(stream)} == {"0.1", "0.01", "0.001"}


def test_a_dry_run_lists_the_jobs_and_starts_none(dlrun: Dlrun) -> None:
    sweep = ("optimizer.lr=0.1,0.01", *QUICK, "hydra.sweep.dir=grid")
    listed = dlrun("train", "-m", *sweep, "sweep.dry_run=true")
    assert listed.status == 0, listed.err
    assert re.findall(r"optimizer\.lr-[\d.]+ *│ \w+", listed.out) == [
        "optimizer.lr-0.1  │ new",
        "optimizer.lr-0.01 │ new",
    ]
    assert not Path("grid").exists()
    assert dlrun("train", "-m", *sweep).status == 0
    again = dlrun("train", "-m", *sweep, "optimizer.lr=0.1,0.5", "sweep.dry_run=true")
    assert re.findall(r"optimizer\.lr-[\d.]+ *│ \w+", again.out) == [
        "optimizer.lr-0.1 │ completed",
        "optimizer.lr-0.5 │ new",
    ]
    assert dlrun("train", *QUICK, "sweep.dry_run=true").errors == [
        "dlrun: sweep.dry_run=true: no sweep; expected the flag -m"
    ]


def test_a_sweep_with_another_base_config_is_refused_with_its_keys(dlrun: Dlrun, train_once: Train) -> None:
    sweep = (*QUICK, "hydra.sweep.dir=grid")
    train_once("-m", "optimizer.lr=0.1", *sweep)
    before = {file: file.read_bytes() for file in Path("grid").rglob("*") if file.is_file()}
    ended = dlrun("train", "-m", "optimizer.lr=0.1,0.01", *sweep, "optimizer.momentum=0.5", "loss=mse")
    assert ended.status == 2
    (line,) = ended.errors
    assert "hydra.sweep.dir=grid: the jobs in this folder have another config" in line
    assert "loss._target_ (was dlrun.loss.cross_entropy.cross_entropy, is dlrun.loss.mse.MeanSquaredError)" in line
    assert "optimizer.momentum (was 0.9, is 0.5)" in line
    assert "optimizer.lr" not in line
    assert before == {file: file.read_bytes() for file in Path("grid").rglob("*") if file.is_file()}


def test_a_swept_choice_may_change_whatever_comes_with_it(dlrun: Dlrun) -> None:
    sweep = ("-m", *QUICK[1:], "hydra.sweep.dir=grid")
    assert dlrun("train", "model=linear", "optimizer=sgd,adam", *sweep).status == 0
    assert dlrun("train", "model=linear", "optimizer=adam,rmsprop", *sweep).status == 0
    assert {folder.name for folder in Path("grid").glob("opt*")} == {
        "optimizer-adam",
        "optimizer-sgd",
        "optimizer-rmsprop",
    }


def test_seeds_give_mean_deviation_and_interval_of_each_configuration(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "optimizer.lr=0.1,0.01", "seed=range(3)", *QUICK, "hydra.sweep.dir=grid")
    assert ended.status == 0, ended.err
    with Path("grid/repeats.csv").open() as stream:
        repeats = {row["optimizer.lr"]: row for row in csv.DictReader(stream)}
    assert set(repeats) == {"0.1", "0.01"}
    for rate, row in repeats.items():
        assert row["runs"] == "3"
        for metric in ("val/accuracy", "test/accuracy"):
            jobs = Path("grid").glob(f"optimizer.lr-{rate}_seed-*")
            values = [result(job)["metrics"][metric] for job in jobs]
            low, high = stats.t.interval(0.95, 2, statistics.mean(values), stats.sem(values))
            assert float(row[f"{metric} mean"]) == pytest.approx(statistics.mean(values), abs=6e-5)
            assert float(row[f"{metric} std"]) == pytest.approx(statistics.stdev(values), abs=6e-5)
            assert float(row[f"{metric} 95% +-"]) == pytest.approx((high - low) / 2, abs=6e-5)
            assert row[f"{metric} mean"] in ended.out
    assert "runs" in Path("grid/sweep.md").read_text()


def test_two_processes_do_not_work_in_one_folder(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "hydra.run.dir=mine")
    with FileLock("mine/.lock"):
        ended = dlrun("train", "run=mine", "trainer.epochs=4")
    assert ended.status == 2
    assert ended.errors == ["dlrun: hydra.run.dir=mine: another process is at work in this folder"]
    assert dlrun("train", "run=mine", "trainer.epochs=4").status == 0


def test_a_search_goes_on_where_it_stopped_and_prunes(dlrun: Dlrun) -> None:
    pytest.importorskip("optuna")
    search = (
        "-m",
        "hydra/sweeper=optuna",
        "optimizer.lr=tag(log,interval(0.00001,0.5))",
        *QUICK,
        "trainer.epochs=3",
        "hydra.sweep.dir=search",
    )
    ended = dlrun("train", *search, "hydra.sweeper.trials=5")
    assert ended.status == 0, ended.err
    first = {file: file.stat().st_mtime_ns for file in Path("search").glob("*/result.json")}
    assert len(first) == 5
    ended = dlrun("train", *search, "hydra.sweeper.trials=9")
    assert ended.status == 0, ended.err
    assert first == {file: file.stat().st_mtime_ns for file in first}
    results = [result(file.parent) for file in Path("search").glob("*/result.json")]
    assert len(results) == 9
    pruned = [one for one in results if one["stopped"] == "pruned"]
    assert pruned
    assert all(one["epochs"] < 3 for one in pruned)
    assert all(one["epochs"] == 3 for one in results if one not in pruned)
    with Path("search/sweep.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["status"] == "completed: pruned" for row in rows) == len(pruned)
    best = max(one["metrics"]["val/accuracy"] for one in results)
    assert rows[0]["val/accuracy"] == f"{best:.4f}"


def test_a_failed_job_of_a_search_is_told_and_tried_again(dlrun: Dlrun) -> None:
    pytest.importorskip("optuna")
    search = ("-m", "hydra/sweeper=optuna", "model=lenet,linear", *QUICK[1:], "hydra.sweep.dir=search")
    ended = dlrun("train", *search, "hydra.sweeper.trials=3", "hydra.sweeper.sampler=random")
    assert ended.status == 1  # LeNet takes no images of 8x8
    assert "failed: model" in Path("search/sweep.csv").read_text()
    wrong = dlrun("train", *search, "hydra.sweeper.sampler=grid")
    assert wrong.status == 2
    assert "hydra.sweeper.sampler=grid: expected tpe or random" in wrong.err


def test_two_sweeps_do_not_work_in_one_folder(dlrun: Dlrun) -> None:
    Path("grid").mkdir()
    with FileLock("grid/.lock"):
        ended = dlrun("train", "-m", "optimizer.lr=0.1,0.01", *QUICK, "hydra.sweep.dir=grid")
    assert ended.status == 2
    assert ended.errors == ["dlrun: hydra.sweep.dir=grid: another process is at work in this folder"]
    assert [path.name for path in Path("grid").iterdir()] == [".lock"]


@pytest.mark.parametrize("damage", ["cut", "joined", "zeros"])
def test_a_damaged_study_is_cut_to_its_whole_lines(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    optuna = pytest.importorskip("optuna")
    from hydra_plugins.dlrun_optuna import open_storage, repair

    def study() -> Any:
        return optuna.create_study(study_name="sweep", storage=open_storage(tmp_path), load_if_exists=True)

    made = study()
    for value in (1.0, 2.0):
        made.tell(made.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), value)
    file = tmp_path / "optuna.log"
    whole = file.read_bytes()
    tail = b'{"op_code":4,"wor'
    file.write_bytes(
        whole + {"cut": tail, "joined": tail + whole.splitlines(keepends=True)[-1], "zeros": bytes(9)}[damage]
    )
    damaged = file.read_bytes()
    repair(file)
    assert file.read_bytes() == whole
    assert (tmp_path / "optuna.log.damaged").read_bytes() == damaged
    assert f"warning: {file}: damaged after line {len(whole.splitlines())}" in capfd.readouterr().out
    repair(file)
    assert file.read_bytes() == whole
    assert [trial.value for trial in study().trials] == [1.0, 2.0]


def test_a_sweep_of_which_nothing_completed_has_a_table_and_no_figures(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "callback.checkpoint._target_=nowhere.Here,nowhere.There", "hydra.sweep.dir=sweep")
    assert (ended.status, ended.errors) == (1, [])
    assert ended.out.count("failed") >= 2
    assert not Path("sweep/figures").exists()
