"""A sweep whose jobs SLURM runs, through submitit: ``hydra/launcher=submitit_slurm``.

Hydra's launcher for submitit says how jobs are submitted, and composes them. Waiting for them is done here: what counts
is what they leave in their folders, so that a sweep needs neither SLURM's accounting nor the process that has submitted
it. ``slurm.json`` in the sweep's folder says which job of SLURM works on which run.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job

from dlrun import console, interrupt
from dlrun.config import schema
from dlrun.config.invocation import Invocation
from dlrun.config.plan import Plan, job_config, job_name
from dlrun.errors import UserError
from dlrun.files import write_whole
from dlrun.run.ended import fail, has_ended, line, stamp
from dlrun.run.folder import Run, read_result
from dlrun.run.job import complete, is_done
from dlrun.run.slurm_job import SlurmJob

KEY = "hydra/launcher=submitit_slurm"
RECORD = "slurm.json"
"""In a sweep's folder: of each job that was submitted its number at SLURM, and the stamp of its result before."""
LOOKS = 0.5
"""Seconds between two looks for results."""
ASKS = 10.0
"""Seconds between two questions to SLURM."""
ABSENCES = 2
"""So many times in a row a job is not in the queue until its result is no longer waited for: shared disks are slow."""

Jobs = dict[str, list[str]]
"""The overrides of jobs, by the names of their folders."""
Submitted = dict[str, tuple[str, int | None]]
"""What is in :data:`RECORD`, by the names of the jobs' folders."""


def enqueue(launcher: Any, plan: Plan) -> None:
    """Let Hydra's launcher for SLURM submit what is neither done nor in the queue, and wait for the jobs' results.

    Raises:
        UserError: there is no SLURM on this machine.
    """
    if shutil.which("sbatch") is None:
        raise UserError(f"{KEY}: no command sbatch; expected a machine with SLURM")
    launcher.launch = partial(_launch, copy.copy(launcher), plan)


def _launch(launcher: Any, plan: Plan, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
    """Submit jobs, and wait until each has ended, or is done or queued since an earlier command."""
    named: Jobs = {job_name(job, plan.constant): list(job) for job in jobs}
    with interrupt.at_check():
        waiting = _submitted(launcher, plan, named, initial_job_idx)
        try:
            _wait(plan, named, waiting)
        except interrupt.Interrupted:
            console.announce(
                f"the jobs stay in SLURM's queue; scancel {' '.join(_numbers(waiting))} takes them out of it"
            )
            raise
    return [JobReturn(status=JobStatus.COMPLETED) for _ in jobs]


def _submitted(launcher: Any, plan: Plan, named: Jobs, first: int) -> Submitted:
    """Submit those of the jobs that need it; all that are in the queue then."""
    file = plan.folder / RECORD
    known: Submitted = {name: tuple(one) for name, one in json.loads(file.read_text()).items()} if file.exists() else {}
    queue: set[str] | None = set()
    while known and (queue := queued()) is None:  # it does not answer, and nothing is to be submitted twice
        _pause(ASKS)
    assert queue is not None
    waiting = {name: known[name] for name in named if name in known and known[name][0] in queue}
    new = {name: job for name, job in named.items() if name not in waiting and not _collected(launcher, plan, job)}
    if new:
        stamps = [stamp(plan.folder / name) for name in new]
        waiting |= dict(zip(new, zip(submit(launcher, [*new.values()], first), stamps, strict=True), strict=True))
        write_whole(file, json.dumps(known | waiting, indent=2) + "\n")
    if waiting:
        numbers, jobs = " ".join(_numbers(waiting)), f"{len(waiting)} job{'s' * (len(waiting) > 1)}"
        console.announce(f"SLURM has {jobs} of this sweep: {numbers}; the same command collects them later, too")
    return waiting


def _collected(launcher: Any, plan: Plan, job: list[str]) -> bool:
    """Whether a job is done; if so, say it."""
    folder = plan.folder / job_name(job, plan.constant)
    if read_result(folder).get("status") != "completed":
        return False
    full = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, job)
    HydraConfig.instance().set_config(full)  # so that ${hydra:...} resolves
    with suppress(UserError):  # the job itself says so
        config = complete(schema.check(job_config(full)))
        if is_done(Run(folder, Invocation(plan.verb, folder, sweeping=True)), config):
            context, task = launcher.hydra_context, launcher.task_function
            run_job(task, full, "hydra.sweep.dir", "hydra.sweep.subdir", context)
            return True
    return False


def submit(launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[str]:
    """Submit jobs, several as an array; the number of each.

    Raises:
        UserError: SLURM refuses them.
    """
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    options = dict(launcher.params)
    shared = BaseQueueConf.__dataclass_fields__
    folder, timeouts = options.pop("submitit_folder"), options.pop("max_num_timeout")
    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=timeouts)
    executor.update_parameters(**{key if key in shared else f"slurm_{key}": value for key, value in options.items()})
    state = Singleton.get_state()
    calls = [(list(job), "hydra.sweep.dir", first + place, "", state) for place, job in enumerate(jobs)]
    try:
        with redirect_stderr(io.StringIO()):  # submitit repeats there what it raises
            submitted = executor.map_array(SlurmJob(launcher), *zip(*calls, strict=True))
    except (FailedJobError, FailedSubmissionError) as error:
        said = [text.partition("error: ")[2] for text in str(error).splitlines() if "error: " in text]
        raise UserError(f"{KEY}: {said[0] if said else error}") from error
    return [job.job_id for job in submitted]


def queued() -> set[str] | None:
    """The numbers of this user's jobs that wait or run, each of an array by itself; None if SLURM does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    answer = subprocess.run(command, capture_output=True, text=True)
    return None if answer.returncode else set(answer.stdout.split())


def _wait(plan: Plan, named: Jobs, waiting: Submitted) -> None:
    """Wait until each job has left a result, or has left the queue."""
    left, absent, next_question = dict(waiting), Counter[str](), time.monotonic()
    while left:
        queue: set[str] | None = None
        if time.monotonic() >= next_question:
            queue, next_question = queued(), time.monotonic() + ASKS
        for name, (number, before) in [*left.items()]:
            folder = plan.folder / name
            if queue is not None:
                absent[name] = 0 if number in queue else absent[name] + 1
            ended = has_ended(folder, before)
            if not ended and absent[name] >= ABSENCES:
                _give_up(folder, named[name], plan, number)
            if ended or absent[name] >= ABSENCES:
                del left[name]
                console.say(line(folder))
        _pause(LOOKS)


def _give_up(folder: Path, job: list[str], plan: Plan, number: str) -> None:
    """Note for a job that is out of the queue and has not come to an end, that SLURM has ended it."""
    if read_result(folder).get("status") != "interrupted":
        where = plan.folder / ".submitit" / number
        fail(folder, job, plan.verb, f"SLURM ended job {number}; what it said is in {where}")


def _pause(seconds: float) -> None:
    """Wait, and listen for signals."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        interrupt.check()
        time.sleep(min(LOOKS, seconds))


def _numbers(submitted: Submitted) -> list[str]:
    """The numbers of jobs as SLURM takes them, an array as one."""
    return list(dict.fromkeys(number.split("_")[0] for number, _ in submitted.values()))
