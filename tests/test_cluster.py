"""Sweeps by a real SLURM, and by a real Ray, where they are installed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor

from tests import slurm
from tests.conftest import QUICK, Dlrun, result
from tests.slurm import asked, restarts, until

LONG = (*QUICK, "trainer.epochs=100000", "scheduler=constant", "callback.checkpoint.every_minutes=1000")
"""A training that does not end by itself."""


@pytest.fixture(scope="module")
def slurm_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    pytest.importorskip("submitit")
    if not slurm.is_installed():
        pytest.skip("no SLURM: its slurmctld, slurmd, sbatch or munged are not here")
    with slurm.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(autouse=True)
def _place(dlrun: Dlrun) -> None:
    """An empty working directory."""


BY_SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.sweep.dir=sweep")
BY_RAY = ("hydra/launcher=ray", "+hydra.launcher.init.num_cpus=2", "hydra.sweep.dir=sweep")


def start(*words: str) -> subprocess.Popen[bytes]:
    """A sweep at work, in a process of its own."""
    place = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    with Path("said.txt").open("a") as log:
        command = [sys.executable, "-m", "dlrun", "train", "-m", *words]
        return subprocess.Popen(command, env={**os.environ, **place}, stdout=log, stderr=log)


def number(job: str) -> str:
    """Which job SLURM runs for one of the sweep."""
    found: str = json.loads(Path("sweep/slurm.json").read_text())[job][0]
    return found


def is_at(job: str, status: str) -> bool:
    file = Path("sweep") / job / "result.json"
    return file.exists() and result(file.parent)["status"] == status


def is_training(job: str) -> bool:
    """Whether a job has come to its second epoch."""
    log = Path("sweep") / job / "metrics.csv"
    return is_at(job, "running") and log.exists() and log.read_text().count("\n") > 2


def weights(run: Path) -> tuple[int, dict[str, Tensor]]:
    """The step of a run's last checkpoint, and its weights."""
    saved = torch.load(run / "checkpoints/last.pt", weights_only=True)
    return saved["cursor"]["step"], saved["model"]


def assert_undisturbed(dlrun: Dlrun, run: Path, *words: str) -> None:
    """A run has the weights of one of as many steps that nobody has disturbed."""
    step, found = weights(run)
    assert dlrun("train", *words, f"trainer.steps={step}", "hydra.run.dir=undisturbed").status == 0
    assert weights(Path("undisturbed"))[0] == step
    for name, tensor in weights(Path("undisturbed"))[1].items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.slow
@pytest.mark.usefixtures("slurm_node")
def test_a_time_limit_saves_and_requeues_to_the_same_bits(dlrun: Dlrun) -> None:
    limits = ("timeout_min=1", "max_num_timeout=5", "signal_delay_s=5", "tasks_per_node=2")
    options = [f"hydra.launcher.{text}" for text in limits]
    command = start("seed=3", *LONG, "trainer.replicas=2", *BY_SLURM, *options)
    until(lambda: Path("sweep/slurm.json").exists())
    until(lambda: restarts(number("all")) >= 3)
    until(lambda: restarts(number("all")) and is_at("all", "running"))
    until(lambda: is_training("all"))
    asked("scancel", number("all"))
    assert command.wait(slurm.LONGEST) == 1
    assert is_at("all", "interrupted")
    assert "Traceback" not in Path("sweep/all/log.txt").read_text()
    assert_undisturbed(dlrun, Path("sweep/all"), "seed=3", *LONG, "trainer.replicas=2")


@pytest.mark.slow
@pytest.mark.usefixtures("slurm_node")
def test_a_sweep_of_four_outlasts_what_happens_to_its_jobs(dlrun: Dlrun) -> None:
    sweep = ("seed=0,1,2,3", *LONG, *BY_SLURM)
    jobs = [f"seed-{seed}" for seed in range(4)]
    command = start(*sweep)
    until(lambda: all(is_training(job) for job in jobs))
    numbers = [number(job) for job in jobs]
    command.send_signal(signal.SIGKILL)  # the login node dies
    command.wait()
    asked("scancel", "--signal=USR2", numbers[0])  # as before a preemption
    asked("scontrol", "requeue", numbers[1])
    asked("scancel", numbers[2])
    for job in jobs[:3]:
        until(lambda job=job: is_at(job, "interrupted"))  # type: ignore[misc]
    for job, again in ((jobs[0], 1), (jobs[1], 1), (jobs[3], 0)):
        until(lambda job=job, again=again: restarts(number(job)) == again and is_training(job))  # type: ignore[misc]
    until(lambda: not asked("squeue", "--noheader", f"--jobs={numbers[2]}"))
    command = start(*sweep)
    until(lambda: number(jobs[2]) != numbers[2] and is_training(jobs[2]))
    assert [number(job) for job in (jobs[0], jobs[1], jobs[3])] == [numbers[0], numbers[1], numbers[3]]
    for job in jobs:
        asked("scancel", number(job))
    assert command.wait(slurm.LONGEST) == 1
    with Path("sweep/sweep.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["folder"] for row in rows) == jobs
    assert all(row["status"].startswith("interrupted") for row in rows)
    for seed in (0, 1):
        assert_undisturbed(dlrun, Path("sweep") / jobs[seed], f"seed={seed}", *LONG)
        Path("undisturbed").rename(f"undisturbed-{seed}")


@pytest.mark.usefixtures("slurm_node")
def test_jobs_that_end_are_one_table(dlrun: Dlrun) -> None:
    command = start("optimizer.lr=0.1,0.01", *QUICK, *BY_SLURM)
    assert command.wait(slurm.LONGEST) == 0, Path("said.txt").read_text()
    with Path("sweep/sweep.csv").open() as stream:
        assert {row["optimizer.lr"]: row["status"] for row in csv.DictReader(stream)} == {
            "0.1": "completed",
            "0.01": "completed",
        }
    said = dlrun("train", "-m", "optimizer.lr=0.1,0.01", *QUICK, *BY_SLURM)
    assert said.status == 0
    assert said.out.count("finished already") == 2
    assert "SLURM has" not in said.out


@pytest.mark.usefixtures("slurm_node")
def test_what_slurm_refuses_is_said_in_a_line(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "seed=0,1", *QUICK, *BY_SLURM, "hydra.launcher.partition=none")
    assert ended.status == 2
    assert ended.errors == ["dlrun: hydra/launcher=submitit_slurm: invalid partition specified: none"]


def worker(job: str) -> int | None:
    """The number of the process that writes the log of a job; None if there is none."""
    log = (Path("sweep") / job / "log.txt").absolute()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name().startswith("ray::") and any(Path(file.path) == log for file in process.open_files()):
                return int(process.pid)
    return None


@pytest.mark.slow
def test_ray_loses_a_worker_and_no_job(dlrun: Dlrun) -> None:
    pytest.importorskip("ray")
    epochs = ("2", "3", "4", "5", "6", "7", "8", "100000")
    job = "trainer.epochs-100000"
    command = start(*LONG, f"trainer.epochs={','.join(epochs)}", *BY_RAY)
    until(lambda: is_training(job) and worker(job))
    victim = worker(job) or 0
    os.kill(victim, signal.SIGKILL)
    until(lambda: worker(job) not in (None, victim))
    until(lambda: all(is_at(f"trainer.epochs-{count}", "completed") for count in epochs[:-1]))
    before = (Path("sweep") / job / "metrics.csv").read_text().count("\n")
    until(lambda: (Path("sweep") / job / "metrics.csv").read_text().count("\n") > before + 1)
    command.send_signal(signal.SIGINT)
    assert command.wait(slurm.LONGEST) == 128 + signal.SIGINT
    with Path("sweep/sweep.csv").open() as stream:
        rows = {row["trainer.epochs"]: row["status"].partition(":")[0] for row in csv.DictReader(stream)}
    assert rows == {**dict.fromkeys(epochs[:-1], "completed"), "100000": "interrupted"}
    assert_undisturbed(dlrun, Path("sweep") / job, *LONG)
