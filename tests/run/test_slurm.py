"""Sweeps by SLURM, which is faked here; tests/test_cluster.py has a real one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dlrun import interrupt
from dlrun.config.invocation import Invocation
from dlrun.config.plan import Plan
from dlrun.errors import UserError
from dlrun.run import slurm
from dlrun.run.folder import Run, read_result
from dlrun.run.slurm_job import SlurmJob, take_place

JOBS = [[f"seed={number}"] for number in range(3)]


class Cluster:
    """A queue in which ``fates`` says for each job what it leaves behind; None leaves it in the queue."""

    def __init__(self, folder: Path, fates: dict[str, str | None]) -> None:
        self.folder, self.fates = folder, fates
        self.submitted: list[str] = []
        self.queue: set[str] = set()
        self.answers = True
        self.ends: list[str] = []  # what has left the queue at the next question but one

    def submit(self, launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[str]:
        numbers = [f"{7 + len(self.submitted)}_{place}" for place in range(len(jobs))]
        self.submitted += [job[0] for job in jobs]
        for number, (job,) in zip(numbers, jobs, strict=True):
            self.leave(job, number)
        return numbers

    def leave(self, job: str, number: str) -> None:
        fate = self.fates[job]
        if fate is None:
            self.queue.add(number)
        elif fate:
            folder = self.folder / job.replace("=", "-")
            folder.mkdir(exist_ok=True)
            Run(folder, Invocation("train", folder, (job,), sweeping=True)).save_result(fate, 1.0, {})

    def queued(self) -> set[str] | None:
        found = set(self.queue)
        for job in self.ends:
            self.leave(job, "")
        return found if self.answers else None

    def status(self) -> dict[str, str | None]:
        return {job: read_result(self.folder / job.replace("=", "-")).get("status") for (job,) in JOBS}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Cluster], None]:
    """The command on the login node, whose clock runs without waiting."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 500:
            os.kill(os.getpid(), signal.SIGINT)

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(slurm, "time", clock)
    monkeypatch.setattr(slurm, "_collected", lambda launcher, plan, job: cluster_status(plan, job) == "completed")

    def cluster_status(plan: Plan, job: list[str]) -> Any:
        return read_result(plan.folder / job[0].replace("=", "-")).get("status")

    def run(cluster: Cluster) -> None:
        now[0] = 0.0
        monkeypatch.setattr(slurm, "submit", cluster.submit)
        monkeypatch.setattr(slurm, "queued", cluster.queued)
        plan = cast(Plan, SimpleNamespace(folder=cluster.folder, constant=[], verb="train"))
        assert len(slurm._launch(None, plan, JOBS, 0)) == 3

    return run


def test_jobs_are_waited_for_and_none_is_lost(tmp_path: Path, command: Callable[[Cluster], None]) -> None:
    cluster = Cluster(tmp_path, {"seed=0": "completed", "seed=1": "interrupted", "seed=2": ""})
    command(cluster)
    assert cluster.status() == {"seed=0": "completed", "seed=1": "interrupted", "seed=2": "failed"}
    assert read_result(tmp_path / "seed-2")["error"].startswith("SLURM ended job 7_2; what it said is in ")


def test_the_same_command_collects_and_submits_what_is_left(
    tmp_path: Path, command: Callable[[Cluster], None], capfd: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(tmp_path, {"seed=0": "completed", "seed=1": None, "seed=2": "failed"})
    with pytest.raises(interrupt.Interrupted):  # the login node ends while a job is queued
        command(cluster)
    assert "the jobs stay in SLURM's queue; scancel 7 takes them out of it" in capfd.readouterr().out
    assert json.loads((tmp_path / "slurm.json").read_text())["seed-1"] == ["7_1", None]
    cluster.fates |= {"seed=1": "completed", "seed=2": "completed"}
    cluster.ends = ["seed=1"]
    command(cluster)
    assert cluster.submitted == ["seed=0", "seed=1", "seed=2", "seed=2"]
    assert set(cluster.status().values()) == {"completed"}


def test_a_slurm_that_does_not_answer_ends_no_job(tmp_path: Path, command: Callable[[Cluster], None]) -> None:
    cluster = Cluster(tmp_path, {"seed=0": "completed", "seed=1": "", "seed=2": "completed"})
    cluster.answers = False
    with pytest.raises(interrupt.Interrupted):
        command(cluster)
    assert cluster.status()["seed=1"] is None
    with pytest.raises(interrupt.Interrupted):  # nor is it submitted twice
        command(cluster)
    assert cluster.submitted == ["seed=0", "seed=1", "seed=2"]


def test_no_slurm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="hydra/launcher=submitit_slurm: no command sbatch"):
        slurm.enqueue(None, cast(Plan, None))


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a task of a SLURM job."""
    pytest.importorskip("submitit")
    names = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
    for name in names:  # they are set again at the end
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    place = {"JOB_ID": "11", "ARRAY_JOB_ID": "9", "ARRAY_TASK_ID": "2", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}
    place |= {"JOB_NUM_NODES": "1", "JOB_NODELIST": "node[03-04]", "CPUS_PER_TASK": "3"}
    for name, value in place.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = {number: signal.getsignal(number) for number in (*interrupt.SIGNALS, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def works(*signals: signal.Signals) -> Callable[[], None]:
    """A job that gets signals at work."""

    def work() -> None:
        with interrupt.at_check():
            for number in signals:
                os.kill(os.getpid(), number)
            interrupt.check()

    return work


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(("number", "again"), [(signal.SIGUSR2, [signal.SIGUSR2]), (signal.SIGTERM, [])])
def test_a_signal_stops_a_job_and_that_of_the_limit_requeues_it(number: signal.Signals, again: list[int]) -> None:
    requeued: list[int] = []
    signal.signal(signal.SIGUSR2, lambda signum, frame: requeued.append(signum))
    with pytest.raises(SystemExit) as end:
        SlurmJob(works(number))()
    assert end.value.code == 128 + signal.SIGTERM
    assert requeued == again
    os.kill(os.getpid(), signal.SIGTERM)  # disturbs the end no more


@pytest.mark.usefixtures("task")
def test_a_job_without_a_signal_ends() -> None:
    done: list[int] = []
    SlurmJob(lambda number: done.append(number))(5)
    assert done == [5]


@pytest.mark.usefixtures("task")
def test_a_task_has_a_place_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROCID": "3", "NTASKS": "4", "LOCALID": "1", "JOB_NUM_NODES": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    take_place()
    found = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "OMP_NUM_THREADS")}
    assert list(found.values()) == ["3", "4", "1", "node03", "3"]
    port = os.environ["MASTER_PORT"]
    monkeypatch.setenv("SLURM_GPUS_PER_TASK", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    take_place()
    assert os.environ["MASTER_PORT"] == port  # all tasks of a job have the same
    assert os.environ["LOCAL_RANK"] == "0"
