"""How the jobs of a sweep that other processes run have ended, by what they left in their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlrun.config.invocation import Invocation
from dlrun.run.folder import RESULT, Run, read_result
from dlrun.run.sweep_view import ENDED, ending


def stamp(folder: Path) -> int | None:
    """When a job's result was written last."""
    file = folder / RESULT
    return file.stat().st_mtime_ns if file.exists() else None


def has_ended(folder: Path, before: int | None) -> bool:
    """Whether a job has come to an end since its result had this stamp."""
    return stamp(folder) != before and read_result(folder).get("status") in ENDED


def line(folder: Path) -> str:
    """What to say of a job that has ended."""
    result = read_result(folder)
    status = result.get("status")
    return ending(folder.name, result) if status in ENDED else f"{folder.name}: {status}"


def fail(folder: Path, job: Sequence[str], verb: str, error: str) -> None:
    """Note for a job whose process could not say it that it has failed.

    Args:
        folder: of its run.
        job: its overrides.
        verb: its command.
        error: why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {"metrics": {}, "seconds": 0.0, "overrides": list(job), **read_result(folder)}
    Run(folder, Invocation(verb, folder, sweeping=True)).write_result({**known, "status": "failed", "error": error})
