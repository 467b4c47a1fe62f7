"""Verbs that follow on a training in the same command: train, then attack."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from dlrun.config.saved import quoted
from dlrun.errors import RunError, UserError
from dlrun.run.folder import read_result

Call = Callable[[str, list[str]], int]
"""Runs a verb with its arguments in this process; returns the exit status, or raises what went wrong."""

RUN = "{run}"
"""In a line: the folder of the run that it follows on."""


def follow(commands: Mapping[str, str], run: Path, call: Call) -> dict[str, float]:
    """Run verbs on a run, each into a folder of its own in it; one that is completed there is not run again.

    Args:
        commands: by name, what follows ``dlrun`` on the command line: ``attack attack=pgd``. ``{run}`` stands for the
            run; a line without it, and without ``run=null``, gets it as ``run=``.
        run: the folder of the training, with its checkpoints.
        call: runs each of them.

    Returns:
        The metrics of all, as ``name/metric``.

    Raises:
        RunError: one of them failed.
    """
    metrics: dict[str, float] = {}
    for name, line in commands.items():
        folder = run / name
        if not is_completed(folder):
            shutil.rmtree(folder, ignore_errors=True)
            verb, *overrides = shlex.split(line)
            if RUN not in line and not any(override.startswith("run=") for override in overrides):
                overrides.append(f"run={RUN}")
            try:
                call(verb, [f"hydra.run.dir={quoted(folder)}", *(placed(each, run) for each in overrides)])
            except Exception as error:
                kind = "" if isinstance(error, (UserError, RunError)) else f"{type(error).__name__}: "
                raise RunError(f"then.{name}: dlrun {line}: {kind}{error}") from error
        metrics |= {f"{name}/{key}": value for key, value in read_result(folder)["metrics"].items()}
    return metrics


def placed(override: str, run: Path) -> str:
    """An override with the run's folder in the place of ``{run}``."""
    key, _, value = override.partition("=")
    return f"{key}={quoted(value.replace(RUN, str(run)))}" if RUN in value else override


def is_completed(folder: Path) -> bool:
    """Whether there is a run in the folder that came to its end."""
    return read_result(folder).get("status") == "completed"
