"""A sweep is a folder of runs: which jobs belong to it, and their status."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from dlrun import console, interrupt
from dlrun.command.verbs import VERBS
from dlrun.config import schema
from dlrun.config.difference import differences, flat
from dlrun.config.plan import JOBLIB, Plan, choices, job_name
from dlrun.config.saved import bring_up_to_date
from dlrun.config.section import COUNTED, MAY_CHANGE, marked
from dlrun.errors import UserError
from dlrun.experiment import header
from dlrun.files import remove_leftovers, write_whole
from dlrun.run import advice
from dlrun.run.folder import locked, read_result
from dlrun.run.sweep_figures import draw
from dlrun.run.sweep_table import table_rows, update
from dlrun.run.sweep_view import watching


def run_sweep(plan: Plan, start: Callable[[], Exception | None]) -> int:
    """Run a sweep, or list its jobs if that is all that is asked for.

    Args:
        plan: the sweep.
        start: runs the jobs in the plan's folder; returns what one raised.

    Returns:
        The exit status: 1 if a job did not complete, or did not meet its bounds.

    Raises:
        UserError: the config is wrong, or the folder holds jobs of another base config; no job was started.
    """
    base = base_config(plan.config, plan.swept)
    if not plan.is_fresh:
        check_base(plan, base)
    if plan.config.sweep.dry_run:
        say_jobs(plan)
        return 0
    together = interrupt.forwarding() if plan.launcher == JOBLIB else nullcontext()
    with plan.in_folder() as folder, locked(folder, "hydra.sweep.dir"), together:
        remove_leftovers(folder, below=False)
        if about := header.introduction(choices(plan.full.hydra)):
            console.say(about)
        write_whole(folder / "sweep.yaml", OmegaConf.to_yaml({"swept": plan.swept, "config": base}))
        started = time.perf_counter()
        with watching(plan):
            failure = start()
        seconds = time.perf_counter() - started
        if failure is not None:
            raise failure
        console.say(*update(folder), f"sweep folder: {folder}")
        draw(folder)
        rows = table_rows(folder)
        if (told := advice.at_once(plan, len(rows), seconds)) is not None:
            console.say(told)
        return int(any(row["status"] != "completed" or row["unmet"] for row in rows))


def base_config(config: DictConfig, swept: list[str]) -> dict[str, Any]:
    """What all jobs share; a value that refers to a swept key stays the reference that it is.

    Raises:
        UserError: another reference leads nowhere.
    """
    shared = config.copy()
    for key, value in flat(OmegaConf.to_container(config)).items():
        if isinstance(value, str) and "${" in value and any(name in value for name in swept):
            OmegaConf.update(shared, key, value.replace("${", "$ {"), force_add=True)
    return schema.resolved(shared, throw_on_missing=False)


def check_base(plan: Plan, base: Any) -> None:
    """Refuse to add to a sweep jobs that differ from the earlier ones in more than the keys that are swept.

    Raises:
        UserError: names every key that differs.
    """
    file = plan.folder / "sweep.yaml"
    if not file.exists():
        return
    earlier = OmegaConf.load(file)
    bring_up_to_date(earlier.config)
    saved: Any = OmegaConf.to_container(earlier)
    verb = VERBS[plan.verb].schema
    free = [*marked(verb, MAY_CHANGE), *plan.swept, *saved["swept"]]
    counted = [name.rpartition(".")[2] for name in marked(verb, COUNTED)]
    different = differences(saved["config"], base, free, counted)
    if different:
        raise UserError(
            f"hydra.sweep.dir={plan.folder}: the jobs in this folder have another config: {', '.join(different)}"
        )


def say_jobs(plan: Plan) -> None:
    """Print every job of the grid, and its status."""
    table = Table("job", "status", title=f"{plan.folder}, nothing started")
    for job in plan.jobs():
        folder = plan.folder / job_name(job, plan.constant)
        table.add_row(folder.name, status(folder))
    console.say(table)


def status(folder: Path) -> str:
    """The status of a job: as its result says, ``unfinished`` without one, ``new`` without a folder."""
    if not folder.exists():
        return "new"
    return str(read_result(folder).get("status", "unfinished"))
