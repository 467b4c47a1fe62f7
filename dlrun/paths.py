"""Where the program's own files lie, how a run is found, and what a path is called."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from dlrun.errors import UserError

RUNS = Path("runs")


def configs() -> Path:
    """The folder of the YAML configs: inside the package in a wheel, beside it in a clone."""
    package = Path(__file__).resolve().parent
    packed = package / "configs"
    return packed if packed.is_dir() else package.parent / "configs"


def verbs() -> list[str]:
    """The names of all verbs: each is a YAML file at the top of the configs folder."""
    return sorted(path.stem for path in configs().glob("[a-z]*.yaml"))


def find_run(value: str) -> Path:
    """The run folder that ``run=value`` means; ``last`` is the newest under ``runs`` that holds a checkpoint.

    Raises:
        UserError: no such folder, or not a run folder.
    """
    if value == "last":
        runs = [file.parent.parent for file in RUNS.glob("**/checkpoints/last.pt")]
        if not runs:
            raise UserError(f"run=last: no run with a checkpoint under {RUNS.resolve()}; train one first")
        return max(runs, key=lambda run: (run / "config.yaml").stat().st_mtime_ns)
    run = Path(value)
    if not (run / "config.yaml").is_file():
        what = "not a run folder (no config.yaml)" if run.is_dir() else "no such folder"
        raise UserError(f"run={value}: {what}; expected the folder of an earlier run, or 'last'")
    return run


def shown(path: str | Path) -> str:
    r"""A path, or a part of it, as text that can be written anywhere, the same under every locale.

    Bytes that are no UTF-8, and control characters such as the end of a line, are written as ``\xff``; letters with
    accents are one character (NFC), whichever way the disk has them.
    """
    text = unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], text)
