"""``dlrun lesson``: calculate a lesson, print its tables, keep its pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from dlrun import build, console
from dlrun.errors import UserError
from dlrun.experiment import claims
from dlrun.lesson.lesson import Findings, Row
from dlrun.run.folder import Run

FIGURES = "figures"
"""The folder of the pictures in that of the run."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Run the config's lesson; returns what goes into ``result.json``.

    Raises:
        UserError: an option is wrong, or a bound is on a number that the lesson does not give.
    """
    with blamed(run.invocation.overrides):
        found = build.lesson(config)()
        bounds = claims.held_to(config, run.invocation.overrides)
        claims.check_names(bounds, found.metrics)
        record(config, run, found)
    others: list[Row] = [
        {"number": name, "value": value} for name, value in found.metrics.items() if name not in bounds
    ]
    if others:
        console.say(table("numbers", others))
    if not bounds and config.expect:
        console.say("claims: not checked, since they speak of the default options")
    return {"metrics": found.metrics}


def record(config: DictConfig, run: Run, found: Findings) -> None:
    """Print and write what a lesson found.

    Raises:
        ValueError: a number is not finite.
    """
    if lost := [name for name, value in found.metrics.items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(lost)} would be NaN or infinite")
    with build.recorder(config, run.path, FIGURES) as recorder:
        for name, rows in found.tables.items():
            made = table(name, rows)
            console.say(made)
            recorder.table(name, rows)
            recorder.text(name, as_text(made))
        for name, figure in found.figures.items():
            recorder.figure(name, figure)
        recorder.scalars(found.metrics, 0)


@contextmanager
def blamed(typed: Sequence[str]) -> Iterator[None]:
    """Meanwhile what cannot be calculated or drawn is laid to the options that were typed, if any were.

    Raises:
        UserError: such as of a descent that diverges, and its picture.
    """
    options = " ".join(text for text in typed if text.startswith("lesson."))
    try:
        yield
    except (ArithmeticError, ValueError) as error:  # of numbers; others are faults of the code, or of the machine
        if not options:
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{options}: the lesson cannot be calculated so ({reason}); expected another value") from None


def table(name: str, rows: Sequence[Row]) -> Table:
    """A table to print: numbers in few digits, to the right."""
    made = Table(title=name.replace("_", " "))
    for column, value in (rows[0] if rows else {}).items():
        made.add_column(column, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        made.add_row(*map(cell, row.values()))
    return made


def cell(value: str | int | float) -> str:
    """A value as a table shows it."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else claims.number(value)


def as_text(table: Table) -> str:
    """A table as plain text."""
    page = Console(width=console.WIDTH, color_system=None, markup=False)
    with page.capture() as captured:
        page.print(table)
    return captured.get()
