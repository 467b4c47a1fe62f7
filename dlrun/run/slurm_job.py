"""A job of SLURM at work: what submitit calls in each of its tasks.

A signal that the job has reached its time limit, or that its place is wanted, stops it as SIGTERM does, with a
checkpoint; then submitit puts it into the queue again, and it goes on in the same folder. The tasks of a job share its
run, as the processes that torchrun starts.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dlrun import interrupt
from dlrun.run import processes
from dlrun.run.member import is_hand, is_member


@dataclass
class SlurmJob:
    """What submitit calls.

    Args:
        launcher: Hydra's for submitit; called, it composes the job's config and runs it.
    """

    launcher: Any

    def __call__(self, *arguments: Any) -> None:
        """Run a job, or the part of this process; one that was stopped ends the process."""
        from submitit import JobEnvironment

        take_place()
        limit: int | None = None

        def stop(signum: int, frame: FrameType | None) -> None:
            nonlocal limit
            limit = signum
            handler = signal.getsignal(signal.SIGTERM)
            if callable(handler):
                handler(signal.SIGTERM, frame)

        requeue = signal.signal(getattr(signal, f"SIG{JobEnvironment().USR_SIG}"), stop)
        try:
            with interrupt.at_once(last=True):
                self.work(arguments)
        except interrupt.Stopped as error:
            if limit is not None and callable(requeue):
                requeue(limit, None)  # submitit's own; in the first process it does not return
            sys.exit(128 + error.signum)  # an exception would be a result to submitit, and the end

    def work(self, arguments: tuple[Any, ...]) -> None:
        """Run the job, or help the first process with it."""
        if is_hand():
            sys.exit(processes.serve())
        try:
            self.launcher(*arguments)
        finally:
            if is_member():
                processes.dismiss()

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit is to call when the job starts again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


def take_place() -> None:
    """Say in torchrun's variables which of the job's tasks this process is, and take the cores that it was given."""
    from submitit.helpers import TorchDistributedEnvironment

    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    if os.environ.get("SLURM_GPUS_PER_TASK"):
        os.environ["LOCAL_RANK"] = "0"  # each task sees its own GPU alone
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ["OMP_NUM_THREADS"] = cores
