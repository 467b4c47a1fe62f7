"""Where the program's own files lie, and how a run is found."""

from __future__ import annotations

import json
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
        UserError: no such folder, or it is no run.
    """
    if value == "last":
        runs = [file.parent.parent for file in RUNS.glob("**/checkpoints/last.pt")]
        if not runs:
            raise UserError(f"run=last: no run with a checkpoint under {RUNS.resolve()}; train one first")
        return max(runs, key=lambda run: (run / "config.yaml").stat().st_mtime_ns)
    run = Path(value)
    if not (run / "config.yaml").is_file():
        what = "no config.yaml in it, so it is not a run" if run.is_dir() else "no such folder"
        raise UserError(f"run={value}: {what}; expected the folder of an earlier run, or 'last'")
    return run


def find_weights(run: str | None, weights: str | None) -> Path:
    """The file of weights that a verb on a trained model reads: the one that is named, or the run's best checkpoint.

    Raises:
        UserError: neither is given.
    """
    if weights is not None:
        return Path(weights)
    if run is None:
        raise UserError("weights: none given; expected run=DIR, or model=NAME weights=FILE dataset=NAME")
    return find_run(run) / "checkpoints" / "best.pt"


def class_names(run: str) -> list[str]:
    """The names of the classes that a run was trained on, in the order of its outputs.

    Raises:
        UserError: the run does not say them, for it did not come to its end.
    """
    try:
        names: list[str] = json.loads((find_run(run) / "result.json").read_text())["classes"]
    except (FileNotFoundError, KeyError):
        raise UserError(f"run={run}: says no classes in its result.json; expected a run that was completed") from None
    return names
