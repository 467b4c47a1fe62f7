"""Where the program's own files lie, how a run is found, and what a path is called."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from dlrun.config import shipped
from dlrun.errors import UserError

RUNS = Path("runs")
ASIDE = ".reproduced"
"""A file that marks a folder in which ``dlrun reproduce`` has its runs."""


def configs() -> Path:
    """The folder of the YAML configs."""
    return Path(shipped.configs())


def find_run(value: str) -> Path:
    """The run folder that ``run=value`` means; ``last`` is :func:`newest`.

    Raises:
        UserError: no such folder, or not a run folder.
    """
    if value == "last":
        found = newest()
        if found is None:
            raise UserError(f"run=last: no run with a checkpoint under {RUNS.resolve()}; train one first")
        return found
    run = Path(value)
    if not (run / "config.yaml").is_file():
        what = "not a run folder (no config.yaml)" if run.is_dir() else "no such folder"
        raise UserError(f"run={value}: {what}; expected the folder of an earlier run, or 'last'")
    return run


def newest() -> Path | None:
    """The newest run under ``runs`` that holds a checkpoint; of a sweep the best job. None without one.

    Runs that ``dlrun reproduce`` made, or that followed on another within its folder, are left out.
    """
    runs = [file.parent.parent for file in RUNS.glob("**/checkpoints/last.pt")]
    runs = [run for run in runs if not any(is_aside(each) for each in run.parents if each.is_relative_to(RUNS))]
    if not runs:
        return None
    last = max(runs, key=lambda run: (run / "config.yaml").stat().st_mtime_ns)
    best = best_job(last.parent)
    return best if best in runs else last


def is_aside(folder: Path) -> bool:
    """Whether the runs within a folder were not made for themselves: it is a run, or one of ``dlrun reproduce``."""
    return (folder / "config.yaml").is_file() or (folder / ASIDE).is_file()


def best_job(sweep: Path) -> Path | None:
    """The first job in a sweep's table, which has the best one on top; None in a folder that is no sweep."""
    import csv  # help has no need of it

    file = sweep / "sweep.csv"
    if not file.is_file():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        first = next(csv.DictReader(stream), None)
    return sweep / first["folder"] if first else None


def shown(path: str | Path) -> str:
    r"""A path, or a part of it, as text that can be written anywhere, the same under every locale.

    Bytes that are no UTF-8, and control characters such as the end of a line, are written as ``\xff``; letters with
    accents are one character (NFC), whichever way the disk has them.
    """
    text = unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], text)
