"""A parallel sweep outlasts the death of its workers, and they do not outlast it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from dlrun import console, interrupt
from dlrun.config.plan import JOBLIB, SLURM, Plan, job_name
from dlrun.run import output
from dlrun.run.ended import fail, has_ended, stamp

TOGETHER = 2
"""So many deaths of a worker a job may have been at work in, until it is tried alone."""
DEADLY = "its worker process was killed again and again; perhaps it takes more memory than there is"

Launch = Callable[..., Sequence[JobReturn]]


def prepare(launcher: Any, plan: Plan) -> None:
    """Make a launcher whose jobs run elsewhere ready for what may happen to them there.

    Raises:
        UserError: they cannot be run there.
    """
    if plan.launcher == JOBLIB:
        outlast(launcher, plan)
    elif plan.launcher == SLURM:
        from dlrun.run import slurm

        slurm.enqueue(launcher, plan)


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
    before = [stamp(folder) for folder in folders]
    while left and interrupt.requested() is None:
        alone = all(met[number] >= TOGETHER for number in left)
        chosen = left[:1] if alone else [number for number in left if met[number] < TOGETHER]
        try:
            found = launch([list(jobs[number]) for number in chosen], initial_job_idx=initial_job_idx)
        except BrokenProcessPool:
            open_ones = [number for number in chosen if not has_ended(folders[number], before[number])]
            console.say(f"warning: a worker process was killed; {len(open_ones)} jobs of the sweep go on in a new one")
            met.update([number for number in open_ones if stamp(folders[number]) != before[number]] or open_ones)
            if alone and open_ones:
                fail(folders[chosen[0]], jobs[chosen[0]], plan.verb, DEADLY)
                open_ones = []
        else:
            open_ones = []
            for number, result in zip(chosen, found, strict=True):
                ended[number] = result
        left = [number for number in left if number not in chosen or number in open_ones]
    return ended
