"""A sweep is a folder of runs: which jobs belong to it, and how far they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from rich.table import Table

from dlrun import console, interrupt
from dlrun.config import schema
from dlrun.config.compose import job_config, job_name, refuse, withdraw
from dlrun.config.difference import differences, flat
from dlrun.errors import RunError, UserError, sentence
from dlrun.files import write_whole
from dlrun.run.sweep_figures import draw
from dlrun.run.sweep_table import table_rows, update


class Sweep(Callback):
    """Opens the sweep's folder before the first job, and prints the table after the last.

    Hydra swallows a callback's exceptions, but not an exit.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a folder whose jobs have another base config; list the jobs if that is all that is asked for."""
        HydraConfig.instance().set_config(config)  # so that ${hydra:...} resolves
        try:
            swept, constant = keys(config)
            # A job is known by what it does not share with the others. The jobs are composed from this list:
            with read_write(config.hydra.overrides):
                config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys={constant}")
            base = base_config(job_config(config), swept)
            folder = Path(config.hydra.sweep.dir)
            check_base(folder, base, swept)
            if config.sweep.dry_run:
                say_jobs(config, folder, constant)
                withdraw()
                sys.exit(0)
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "sweep.yaml", OmegaConf.to_yaml({"swept": swept, "config": base}))
        except (UserError, RunError) as error:
            refuse(error)
        except OSError as error:
            refuse(UserError(sentence(error)))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table; exit with 1 if a job failed."""
        folder = Path(config.hydra.sweep.dir)
        console.say(*update(folder), f"sweep folder: {folder}")
        draw(folder)
        unmet = any(row["status"] != "completed" or row["unmet"] for row in table_rows(folder))
        if unmet and interrupt.requested() is None:
            sys.exit(1)


def keys(config: DictConfig) -> tuple[list[str], list[str]]:
    """The keys that a sweep varies, and those that it sets for all jobs alike."""
    parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    searched = list(config.hydra.sweeper.get("params") or {})
    varied = [override for override in parsed if override.is_sweep_override()]
    swept = [*dict.fromkeys([override.key_or_group for override in varied] + searched)]
    return swept, [override.key_or_group for override in parsed if override.key_or_group not in swept]


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


def check_base(folder: Path, base: Any, swept: list[str]) -> None:
    """Refuse to add to a sweep jobs that differ from the earlier ones in more than the keys that are swept.

    Raises:
        UserError: names every key that differs.
    """
    if not (folder / "sweep.yaml").exists():
        return
    saved: Any = OmegaConf.to_container(OmegaConf.load(folder / "sweep.yaml"))
    different = differences(saved["config"], base, apart_from=[*swept, *saved["swept"]])
    if different:
        raise UserError(
            f"hydra.sweep.dir={folder}: the jobs in this folder have another config: {', '.join(different)}"
        )


def say_jobs(config: DictConfig, folder: Path, constant: list[str]) -> None:
    """Print every job of the grid, and how far it is."""
    from dlrun.run.folder import Run

    table = Table("job", "state", title=f"{folder}, nothing started")
    grid = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*grid, *config.hydra.overrides.task])
    if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in parsed):
        raise UserError("sweep.dry_run=true: the jobs of a search are not known before it; expected a grid")
    for job in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]:
        run = Run(folder / job_name(job, constant), job)
        table.add_row(run.path.name, run.status if run.path.exists() else "new")
    console.say(table)
