"""``dlrun reproduce``: run experiments and lessons, compare what they claim with what comes out."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dlrun import console, paths
from dlrun.config import compose
from dlrun.config.saved import quoted
from dlrun.errors import UserError, suggest
from dlrun.experiment import claims as expect
from dlrun.experiment import header as experiment
from dlrun.experiment import report
from dlrun.experiment.header import Experiment
from dlrun.experiment.report import Outcome
from dlrun.run.folder import Run, read_result
from dlrun.run.follow_up import is_completed

REPORT = "report"
METRICS = ("experiments", "claims", "not_met")


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Run the chosen experiments and write the report; returns what goes into ``result.json``.

    Raises:
        UserError: none is chosen: all of them take hours, and start only where that is asked for.
    """
    expect.check_names(config.expect, METRICS)
    if not (config.experiments or config.all or config.embedded or config.lessons):
        raise UserError("experiments: none chosen; expected their names, embedded=true, lessons=true or all=true")
    chosen = choose(config.experiments)
    if config.embedded:
        chosen = [found for found in chosen if is_embedded(found)]
    if config.lessons:
        chosen = [found for found in chosen if found.group == "lesson"]
    outcomes = []
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / paths.ASIDE).exists():
        (folder / paths.ASIDE).touch()  # none of these runs is run=last
    began = time.time()
    for number, found in enumerate(chosen, 1):
        part, own = f"{number} {len(chosen)} {began}", folder / found.name
        reason = "" if config.experiments or own.exists() else found.header.get(experiment.ONLY_BY_NAME, "")
        outcomes.append(Outcome(found, own, left_out=reason) if reason else reproduce(found, own, config.fresh, part))
        report.write(outcomes[-1:], run.path / REPORT)
    rows = [row for outcome in outcomes for row in outcome.rows]
    verdicts = [row[5] for row in rows if row[5] != report.NOT_RUN]
    table = Table(*report.COLUMNS)
    for row in rows:
        table.add_row(*row)
    console.say(table, f"report: {run.path / REPORT / report.TABLE}")
    if config.report is not None:
        report.write(outcomes, Path(config.report))
    ran = sum(not outcome.left_out for outcome in outcomes)
    not_met = sum(verdict != "met" for verdict in verdicts)
    return {"metrics": {"experiments": ran, "claims": len(verdicts), "not_met": not_met}}


def choose(patterns: list[str] | None) -> list[Experiment]:
    """The experiments and lessons whose names fit one of the patterns; all for None.

    Raises:
        UserError: a pattern fits none.
    """
    known = {name: group for group in experiment.GROUPS for name in experiment.names(group)}
    for pattern in patterns or ():
        if not fnmatch.filter(known, pattern):
            raise UserError(f"experiments={pattern}: no such experiment or lesson; {suggest(pattern, known)}")
    wanted = ["*"] if patterns is None else patterns
    chosen = [name for name in known if any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]
    return [experiment.read(name, known[name]) for name in chosen]


def is_embedded(found: Experiment) -> bool:
    """Whether its dataset comes with dlrun: its source reads no ``root``."""
    if found.verb in ("inspect", "lesson"):
        return True
    config = compose.unresolved(found.verb, [f"experiment={found.name}"])  # it may be a sweep, with values for its jobs
    return config.dataset.source.get("root") is None


def reproduce(found: Experiment, folder: Path, fresh: bool, part: str) -> Outcome:
    """Run an experiment in a folder, or go on with what is there; ``part`` is its place among all, for the bar."""
    if fresh or (found.verb != "train" and not is_completed(folder)):
        shutil.rmtree(folder, ignore_errors=True)
    outcome = Outcome(found, folder)
    if found.verb == "train" or not is_completed(folder):
        console.say(f"--- {found.name}: {found.title}")
        places = [f"hydra.{kind}.dir={quoted(folder)}" for kind in ("run", "sweep")]
        status, outcome.error = call([found.verb, found.choice, *places], part)
        if status != 2:  # a run that failed, or did not meet its bounds, says so in its result
            outcome.error = ""
    if (folder / "result.json").exists():
        outcome.results[""] = read_result(folder)
        return outcome
    for file in sorted(folder.glob("*/result.json")):
        job = re.sub(rf"_?experiment-{found.name}", "", file.parent.name).strip("_")
        outcome.results[job] = read_result(file.parent)
    return outcome


def call(arguments: list[str], part: str) -> tuple[int, str]:
    """Run a command line of dlrun in a process of its own; returns its exit status and its last line of errors."""
    command = [sys.executable, "-m", "dlrun", *arguments]
    environment = {**os.environ, console.PART: part}
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    print(ended.stderr, end="", file=sys.stderr)
    return ended.returncode, (ended.stderr.strip().splitlines() or [""])[-1]
