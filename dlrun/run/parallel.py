"""A parallel sweep outlasts the death of its workers, and they do not outlast it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from dlrun import console, interrupt
from dlrun.config.invocation import Invocation
from dlrun.config.plan import Plan, job_name
from dlrun.run import output
from dlrun.run.folder import RESULT, Run, read_result

TOGETHER = 2
"""So many deaths of a worker a job may have been at work in, until it is tried alone."""

Launch = Callable[..., Sequence[JobReturn]]


def outlast(launcher: Any, plan: Plan) -> None:
    """Let a launcher's workers end with this process, and its jobs go on when a worker is killed.

    Args:
        launcher: Hydra's, by joblib.
        plan: of the sweep, whose folder is there.
    """
    launcher.joblib = {**launcher.joblib, "initializer": begin_worker, "initargs": (os.getpid(), console.is_live())}
    launcher.launch = partial(_launch, launcher.launch, plan)


def begin_worker(parent: int, hushed: bool = False) -> None:
    """Make this process a worker of another: it ends with that, and its output may have lost its reader.

    Args:
        parent: the other.
        hushed: that shows on a terminal how its workers fare, so that they say it to their logs alone.
    """
    console.hush(hushed)
    interrupt.work_for(parent)
    output.tolerate()


def _launch(launch: Launch, plan: Plan, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
    """Run jobs; those that the death of a worker has ended, theirs and all others', go on in new workers.

    A job that was at work at several deaths is tried alone, and has failed if its worker dies once more.
    """
    from joblib.externals.loky.process_executor import BrokenProcessPool

    folders = [plan.folder / job_name(job, plan.constant) for job in jobs]
    ended = [JobReturn(status=JobStatus.COMPLETED) for _ in jobs]
    left, met = list(range(len(jobs))), Counter[int]()
    before = [_stamp(folder) for folder in folders]
    while left and interrupt.requested() is None:
        alone = all(met[number] >= TOGETHER for number in left)
        chosen = left[:1] if alone else [number for number in left if met[number] < TOGETHER]
        try:
            found = launch([list(jobs[number]) for number in chosen], initial_job_idx=initial_job_idx)
        except BrokenProcessPool:
            open_ones = [number for number in chosen if not _has_ended(folders[number], before[number])]
            console.say(f"warning: a worker process was killed; {len(open_ones)} jobs of the sweep go on in a new one")
            met.update([number for number in open_ones if _stamp(folders[number]) != before[number]] or open_ones)
            if alone and open_ones:
                _fail(folders[chosen[0]], jobs[chosen[0]], plan)
                open_ones = []
        else:
            open_ones = []
            for number, result in zip(chosen, found, strict=True):
                ended[number] = result
        left = [number for number in left if number not in chosen or number in open_ones]
    return ended


def _stamp(folder: Path) -> int | None:
    """When a job's result was written last."""
    file = folder / RESULT
    return file.stat().st_mtime_ns if file.exists() else None


def _has_ended(folder: Path, before: int | None) -> bool:
    """Whether a job has come to an end since its result had this stamp."""
    return _stamp(folder) != before and read_result(folder).get("status") in ("completed", "failed")


def _fail(folder: Path, job: Sequence[str], plan: Plan) -> None:
    """Note that a job has killed its worker."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"metrics": {}, "seconds": 0.0, "overrides": list(job), **read_result(folder)}
    error = "its worker process was killed again and again; perhaps it takes more memory than there is"
    Run(folder, Invocation(plan.verb, folder, sweeping=True)).write_result(
        {**known, "status": "failed", "error": error}
    )
