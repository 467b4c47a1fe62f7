"""A sweep is a folder of runs: which jobs belong to it, which are done, and one table of all."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from rich.table import Table

from dlrun import console, interrupt, schema
from dlrun.compose import job_config, job_name, refuse, withdraw
from dlrun.difference import differences
from dlrun.errors import RunError, UserError, sentence
from dlrun.files import write_whole

Row = dict[str, Any]


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
            base = schema.resolved(job_config(config), throw_on_missing=False)
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
        if interrupt.requested() is None and any(row["status"] != "completed" for row in table_rows(folder)):
            sys.exit(1)


def keys(config: DictConfig) -> tuple[list[str], list[str]]:
    """The keys that a sweep varies, and those that it sets for all jobs alike."""
    parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    searched = list(config.hydra.sweeper.get("params") or {})
    varied = [override for override in parsed if override.is_sweep_override()]
    swept = [*dict.fromkeys([override.key_or_group for override in varied] + searched)]
    return swept, [override.key_or_group for override in parsed if override.key_or_group not in swept]


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
    from dlrun.run import Run

    table = Table("job", "state", title=f"{folder}, nothing started")
    grid = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*grid, *config.hydra.overrides.task])
    if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in parsed):
        raise UserError("sweep.dry_run=true: the jobs of a search are not known before it; expected a grid")
    for job in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]:
        run = Run(folder / job_name(job, constant), job)
        table.add_row(run.path.name, run.status if run.path.exists() else "new")
    console.say(table)


def update(folder: Path) -> list[Table]:
    """Write ``sweep.csv`` and ``sweep.md`` for the jobs of a sweep that have ended so far.

    Overrides that all jobs share are no column. Where configurations are repeated with several seeds, a second table
    gives mean, standard deviation and interval of each; it is ``repeats.csv`` too.

    Returns:
        The tables, to print.
    """
    rows = table_rows(folder)
    monitor = next((row["monitor"] for row in rows if row["monitor"]), "best")
    test = monitor.replace("val/", "test/")
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    names = list(dict.fromkeys(text.split("=")[0] for row in rows for text in row["overrides"] if text not in shared))
    lines = []
    for row in rows:
        values = dict(override.split("=", 1) for override in row["overrides"])
        status = row["status"] + (f": {row['note']}" if row["note"] else "")
        figures = [_figure(row["best"]), _figure(row["test"]), f"{row['seconds']:.1f}", status]
        lines.append([*(values.get(name, "") for name in names), *figures])
    columns = [*names, monitor, test, "seconds", "status"]
    title = " ".join(sorted(shared)) or None
    _write_csv(
        folder / "sweep.csv", [*columns, "folder"], [[*line, row["job"]] for line, row in zip(lines, rows, strict=True)]
    )
    markdown = _markdown(columns, lines)
    tables = [_table(columns, lines, title)]
    if repeated := repeats(rows):
        kept = [name for name in names if name != "seed"]
        columns = [*kept, "runs", *(f"{name} {what}" for name in (monitor, test) for what in ("mean", "std", "95% +-"))]
        lines = [
            [*(values.get(name, "") for name in kept), str(count), *map(_figure, (*best, *tested))]
            for values, count, best, tested in repeated
        ]
        _write_csv(folder / "repeats.csv", columns, lines)
        markdown += "\n" + _markdown(columns, lines)
        tables.append(_table(columns, lines, "mean over the seeds"))
    write_whole(folder / "sweep.md", markdown)
    return tables


def table_rows(folder: Path) -> list[Row]:
    """A row for each job of a sweep that has ended, best validation first, those without one last."""
    rows = []
    for file in folder.glob("*/result.json"):
        result = json.loads(file.read_text())
        metrics, monitor = result["metrics"], result.get("monitor", "")
        rows.append(
            {
                "job": file.parent.name,
                "overrides": result["overrides"],
                "monitor": monitor,
                "higher_is_better": result.get("higher_is_better", True),
                "best": metrics.get(monitor),
                "test": metrics.get(monitor.replace("val/", "test/")),
                "seconds": result["seconds"],
                "status": result["status"],
                "note": result.get("error") or result.get("stopped") or "",
            }
        )
    rows.sort(key=lambda row: row["job"])
    ascending = not all(row["higher_is_better"] for row in rows)
    rows.sort(key=lambda row: math.inf if row["best"] is None else row["best"] * (1 if ascending else -1))
    return rows


def repeats(rows: list[Row]) -> list[tuple[dict[str, str], int, list[float], list[float]]]:
    """The configurations that completed with more than one seed.

    Returns:
        For each its overrides, the number of seeds, and for the monitored and the test metric mean, standard deviation
        (of the sample) and half the width of the 95% interval of the mean (Student's t).
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["best"] is not None and row["test"] is not None:
            key = tuple(text for text in row["overrides"] if not text.startswith("seed="))
            groups.setdefault(key, []).append(row)
    found = []
    for key, members in groups.items():
        if len(members) > 1:
            best, test = (interval([row[name] for row in members]) for name in ("best", "test"))
            found.append((dict(text.split("=", 1) for text in key), len(members), best, test))
    return found


def interval(values: list[float]) -> list[float]:
    """Mean, standard deviation of the sample, and half the width of the 95% interval of the mean (Student's t)."""
    from scipy.stats import t  # slow to import, and seldom needed

    deviation = stdev(values)
    return [mean(values), deviation, float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(columns: list[str], lines: list[list[str]], title: str | None) -> Table:
    table = Table(*columns, title=title)
    for line in lines:
        table.add_row(*line)
    return table


def _markdown(columns: list[str], lines: list[list[str]]) -> str:
    cells = (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (columns, ["---"] * len(columns), *lines)
    )
    return "\n".join(cells) + "\n"


def _write_csv(file: Path, columns: list[str], lines: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *lines])
    write_whole(file, text.getvalue())
