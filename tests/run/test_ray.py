"""Sweeps by Ray, which is faked here; tests/test_cluster.py has a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from omegaconf import OmegaConf

from dlrun.config.invocation import Invocation
from dlrun.run.folder import Run, read_result
from hydra_plugins.dlrun_ray import RayLauncher
from tests.conftest import QUICK, Dlrun


class LostError(Exception):
    """What Ray raises where a worker was lost once more than ``max_retries``."""


class Ray:
    """Runs tasks one by one; those of ``lost`` lose their workers."""

    exceptions = SimpleNamespace(RayError=LostError)
    lost: ClassVar[list[str]] = ["seed=1"]

    def wait(self, tasks: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return tasks[:1], tasks[1:]

    def get(self, task: str) -> None:
        if task in self.lost:
            raise LostError("the worker died\n unexpectedly")


def launcher(**options: Any) -> RayLauncher:
    defaults: dict[str, Any] = {
        "address": "local",
        "num_cpus": 1,
        "num_gpus": 0.5,
        "memory_gb": 2,
        "max_retries": 3,
        "init": {},
    }
    return RayLauncher(**defaults | options)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the library."""
    fake = Ray()
    fake.__spec__ = SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)


@pytest.mark.usefixtures("ray")
def test_a_job_whose_workers_are_lost_fails_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1, 2):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        status = "running" if seed == 1 else "completed"
        Run(folder, Invocation("train", folder, (f"seed={seed}",), sweeping=True)).save_result(status, 1.0, {})
    made = launcher()
    made.config = OmegaConf.create({"verb": "train", "hydra": {"sweep": {"dir": str(tmp_path)}, "job": {}}})
    OmegaConf.update(made.config, "hydra.job.config.override_dirname.exclude_keys", [], force_add=True)
    made.wait({f"seed={seed}": [f"seed={seed}"] for seed in (0, 1, 2)})
    found = [read_result(tmp_path / f"seed-{seed}") for seed in (0, 1, 2)]
    assert [one["status"] for one in found] == ["completed", "failed", "completed"]
    assert found[1]["error"] == "Ray: the worker died unexpectedly"
    assert found[1]["overrides"] == ["seed=1"]
    assert "seed-1: failed: Ray: the worker died unexpectedly" in capfd.readouterr().out


@pytest.mark.usefixtures("ray")
def test_a_job_takes_its_part_of_a_gpu() -> None:
    assert launcher().options == {"num_cpus": 1, "num_gpus": 0.5, "max_retries": 3, "memory": 2 * 2**30}
    assert "memory" not in launcher(memory_gb=None).options


@pytest.mark.usefixtures("ray")
def test_less_than_nothing_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "-m", "seed=0,1", *QUICK, "hydra/launcher=ray", "hydra.launcher.num_gpus=-1")
    assert ended.status == 2
    assert ended.errors == ["dlrun: hydra.launcher.num_gpus=-1: expected 0 or more"]


def test_no_ray_is_said(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_plugins.dlrun_ray.find_spec", lambda name: None)
    ended = dlrun("train", "-m", "seed=0,1", *QUICK, "hydra/launcher=ray")
    assert ended.status == 2
    assert ended.errors == ["dlrun: hydra/launcher=ray: not installed; expected pip install 'dlrun[ray]'"]
