"""A parallel sweep whose workers are killed; the workers themselves are faked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hydra.core.utils import JobReturn, JobStatus

from dlrun.config.invocation import Invocation
from dlrun.config.plan import Plan
from dlrun.run.folder import Run, read_result
from dlrun.run.parallel import _launch

JOBS = [[f"seed={number}"] for number in range(5)]


class Workers:
    """Runs jobs two at a time; those in ``deadly`` kill their worker, and with it the job beside them."""

    def __init__(self, folder: Path, deadly: Sequence[str], deaths: int) -> None:
        self.folder, self.deadly, self.deaths = folder, deadly, deaths
        self.calls: list[list[str]] = []

    def __call__(self, jobs: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        process_executor = pytest.importorskip("joblib.externals.loky.process_executor")
        names = [job[0] for job in jobs]
        self.calls.append(names)
        for start in range(0, len(names), 2):
            pair = names[start : start + 2]
            for name in pair:
                self.write(name, "running")
            if self.deaths and any(name in self.deadly for name in pair):
                self.deaths -= 1
                raise process_executor.TerminatedWorkerError("killed")
            for name in pair:
                self.write(name, "completed")
        return [JobReturn(status=JobStatus.COMPLETED, overrides=job) for job in jobs]

    def write(self, name: str, status: str) -> None:
        folder = self.folder / name.replace("=", "-")
        folder.mkdir(exist_ok=True)
        Run(folder, Invocation("train", folder, (name,), sweeping=True)).save_result(status, 1.0, {})


def swept(folder: Path, deadly: Sequence[str], deaths: int) -> tuple[Workers, dict[str, Any]]:
    workers = Workers(folder, deadly, deaths)
    plan = cast(Plan, SimpleNamespace(folder=folder, constant=[], verb="train"))
    found = _launch(workers, plan, JOBS, 0)
    assert [one.status for one in found] == [JobStatus.COMPLETED] * 5
    assert all(one.return_value is None for one in found)
    return workers, {job[0]: read_result(folder / job[0].replace("=", "-")) for job in JOBS}


def test_a_worker_that_is_killed_costs_no_job(tmp_path: Path) -> None:
    workers, results = swept(tmp_path, ["seed=2"], deaths=1)
    assert {name: one["status"] for name, one in results.items()} == {job[0]: "completed" for job in JOBS}
    assert workers.calls == [[f"seed={number}" for number in range(5)], ["seed=2", "seed=3", "seed=4"]]


def test_a_job_that_always_kills_its_worker_fails_alone(tmp_path: Path) -> None:
    workers, results = swept(tmp_path, ["seed=2"], deaths=100)
    assert workers.calls[1:] == [["seed=2", "seed=3", "seed=4"], ["seed=4"], ["seed=2"], ["seed=3"]]
    assert [name for name, one in results.items() if one["status"] != "completed"] == ["seed=2"]
    assert results["seed=2"]["status"] == "failed"
    assert results["seed=2"]["overrides"] == ["seed=2"]
    assert "its worker process was killed again and again" in results["seed=2"]["error"]
