"""A run in several processes of this machine, which torch's own launcher starts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from dlrun import console
from dlrun.command.verbs import VERBS
from dlrun.config.compose import FrontDoor
from dlrun.config.plan import SLURM, Plan, fresh, names_time, without_empty
from dlrun.config.saved import quoted
from dlrun.errors import UserError
from dlrun.run.member import is_member


def devices(door: FrontDoor) -> int:
    """How many processes this one is to start for a single run; 1 is for none."""
    if is_member() or not VERBS[door.request.verb].parallel:
        return 1
    found = OmegaConf.select(door.single(), "trainer.devices")
    return found if isinstance(found, int) else 1


def check_sweep(plan: Plan) -> None:
    """Refuse a sweep whose jobs ask for processes.

    Raises:
        UserError: they do, and there are none that work on the whole sweep.
    """
    found = OmegaConf.select(plan.config, "trainer.devices", default=1)
    if not is_member() and (found != 1 or "trainer.devices" in plan.swept):
        many = found if isinstance(found, int) and found > 1 else 2
        way = f"torchrun --nproc-per-node={many} -m dlrun {plan.verb} -m ..., whose processes share every job"
        if plan.launcher == SLURM:
            way = f"hydra.launcher.tasks_per_node={many}, which share it"
        raise UserError(f"trainer.devices={found}: the jobs of a sweep start no processes; expected 1, or {way}")


def launch(door: FrontDoor, words: Sequence[str], count: int) -> int:
    """Run a command line in so many processes; the exit status.

    The first of them says what there is to say, unless it was killed.

    Args:
        door: the command line, composed; gets the folder of the run.
        words: what follows the verb.
        count: of processes.
    """
    place = door.single().hydra.run
    with without_empty(Path(place.dir)):
        is_new = names_time(place)
        door.folder = fresh(place.dir) if is_new else Path(place.dir)
        named = [f"hydra.run.dir={quoted(str(door.folder))}"] if is_new else []
        return _launch([door.request.verb, *words, *named], count)


def _launch(words: Sequence[str], count: int) -> int:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    console.rest()
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"dlrun{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",  # else it asks for the host by name, which on many a laptop nobody answers
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    before = dict(os.environ)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores() // count, 1)))
    try:
        elastic_launch(config, sys.executable)("-m", "dlrun", *words)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        status = error.failures[0].exitcode if 0 in error.failures else 1
        if status < 0:
            print(f"dlrun: process 1 of {count} was killed; the same command goes on", file=sys.stderr)
        return max(status, 1)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return 0


def cores() -> int:
    """How many processors this process may use; where the system does not say (macOS), how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
