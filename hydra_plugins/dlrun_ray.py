"""The jobs of a sweep by Ray as a launcher of Hydra: ``hydra/launcher=ray``.

Hydra takes launchers from this namespace package alone. Its own plugin for Ray holds back cloudpickle, brings Ray's
dashboard and the libraries of one cloud, and ends the whole sweep with the first job whose worker is lost for good.
Nothing of Ray is imported until a sweep starts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

LOOKS = 0.5
"""Seconds between two looks for a signal."""
GRACE = 60.0
"""Seconds that jobs have to save themselves after one."""


class RayLauncher(Launcher):
    """Runs each job as a task of Ray's; ``configs/hydra/launcher/ray.yaml`` explains the arguments.

    A job whose worker is lost goes on in another one, in the same folder, which all machines must see.
    """

    def __init__(
        self,
        address: str,
        num_cpus: float,
        num_gpus: float,
        memory_gb: float | None,
        max_retries: int,
        init: dict[str, Any],
    ) -> None:
        if find_spec("ray") is None:
            raise ImportError("hydra/launcher=ray: not installed; expected pip install 'dlrun[ray]'")
        for name, value in {"num_cpus": num_cpus, "num_gpus": num_gpus, "memory_gb": memory_gb or 0}.items():
            if value < 0:
                raise ValueError(f"hydra.launcher.{name}={value}: expected 0 or more")
        self.address, self.init = address, dict(init)
        memory = {"memory": int(memory_gb * 2**30)} if memory_gb else {}
        self.options: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "max_retries": max_retries,
            **memory,
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what a job needs."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and wait until each has ended; a signal stops them with a checkpoint."""
        import ray

        from dlrun import interrupt

        self.connect()
        remote = ray.remote(**self.options)(run)
        shared = ray.put((self.context, self.task, self.config, Singleton.get_state(), os.getcwd()))
        with interrupt.at_check():
            jobs = {
                remote.remote(shared, list(job), initial_job_idx + place): list(job)
                for place, job in enumerate(job_overrides)
            }
            try:
                self.wait(jobs)
            except interrupt.Interrupted:
                for task in jobs:
                    ray.cancel(task)  # it hears of it as of Ctrl-C
                ray.wait([*jobs], num_returns=len(jobs), timeout=GRACE)
                raise
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]

    def connect(self) -> None:
        """Start Ray, or join the one that the config names; this process stays with it."""
        import ray

        if ray.is_initialized():
            return
        local = {"include_dashboard": False} if self.address == "local" else {}
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ray.init(self.address, **{**local, **quiet, **self.init})
        for number, handler in before.items():  # it takes one of its own
            signal.signal(number, handler)

    def wait(self, jobs: dict[Any, list[str]]) -> None:
        """Wait until jobs have ended; one whose workers were lost too often has failed.

        Args:
            jobs: the overrides of each of Ray's tasks.
        """
        import ray

        from dlrun import console, interrupt
        from dlrun.config.plan import job_name
        from dlrun.run.ended import fail, line

        constant = self.config.hydra.job.config.override_dirname.exclude_keys
        left = [*jobs]
        while left:
            ready, left = ray.wait(left, timeout=LOOKS)
            for task in ready:
                folder = Path(self.config.hydra.sweep.dir) / job_name(jobs[task], constant)
                try:
                    ray.get(task)
                except ray.exceptions.RayError as error:
                    fail(folder, jobs[task], self.config.verb, f"Ray: {' '.join(str(error).split())}")
                console.say(line(folder))
            interrupt.check()


def run(shared: tuple[Any, ...], overrides: list[str], number: int) -> None:
    """Run a job in a worker of Ray's; a signal stops it with a checkpoint.

    Args:
        shared: Hydra's context and state, the command, the config of the sweep, the working directory.
        overrides: the job's.
        number: the job's.
    """
    from dlrun import interrupt

    context, task, config, state, place = shared
    os.chdir(place)
    if place not in sys.path:
        sys.path.append(place)
    setup_globals()
    Singleton.set_state(state)
    full: DictConfig = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(full):
        full.hydra.job.id, full.hydra.job.num = f"{number}", number
    with suppress(interrupt.Stopped), interrupt.at_once():
        run_job(task, full, "hydra.sweep.dir", "hydra.sweep.subdir", context)
