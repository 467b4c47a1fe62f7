"""The run folder: what a command leaves behind, and all that verbs hand to each other."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from dlrun.command.verbs import VERBS
from dlrun.config import saved, trust, trusted_runs
from dlrun.config.difference import differences
from dlrun.config.invocation import Invocation, key
from dlrun.config.section import COUNTED, MAY_CHANGE, marked
from dlrun.errors import UserError
from dlrun.files import write_whole
from dlrun.training.cursor import Cursor, Goal

CONFIG, RESULT, LOG, LOCK = "config.yaml", "result.json", "log.txt", ".lock"
STOPPED = {"no better validation": "patience"}
"""Why a run ended early, in the words of earlier versions."""


class Run:
    """A run's folder, with ``config.yaml``, ``result.json``, ``log.txt`` and whatever the command adds.

    Args:
        path: the folder; it exists.
        invocation: how the command was called.
    """

    def __init__(self, path: Path, invocation: Invocation) -> None:
        self.path = Path(os.path.relpath(path))  # as the user would write it
        self.invocation = invocation
        # What result.json says of the command, whatever comes of it:
        self._about = {"choices": dict(invocation.choices), "overrides": list(invocation.overrides)}

    @property
    def exists(self) -> bool:
        """Whether there is a run in this folder already."""
        return (self.path / CONFIG).exists()

    @contextmanager
    def locked(self, wait: float = 0) -> Iterator[None]:
        """Keep other processes out of this folder; a process that is killed keeps nobody out.

        Args:
            wait: how many seconds to wait for one to end.

        Raises:
            UserError: one is at work in it.
        """
        with locked(self.path, "hydra.run.dir", wait):
            yield

    @property
    def saved_config(self) -> DictConfig:
        """The config of the run in this folder."""
        return saved.load(self.path)

    @property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says; empty where there is none."""
        return read_result(self.path)

    @property
    def stopped_short(self) -> bool:
        """Whether the run in this folder failed, or was interrupted or killed."""
        return self.result.get("status", "unfinished") not in ("completed", "running")

    def is_finished(self, config: DictConfig) -> bool:
        """Whether the run in this folder has done all that a config asks for."""
        return self.result.get("status") == "completed" and self.cursor.is_done(Goal.of(config.trainer))

    def ended_by_patience(self, config: DictConfig) -> bool:
        """Whether the run in this folder would train more, as the config asks for, if its patience were larger."""
        cursor = self.cursor
        return cursor.stopped == "patience" and replace(cursor, stopped=None).goes_on(Goal.of(config.trainer))

    @property
    def cursor(self) -> Cursor:
        """Where the completed run in this folder stands."""
        result = self.result
        if "cursor" in result:
            return Cursor(**result["cursor"])
        # A run of an earlier version.
        stopped = result.get("stopped")
        stopped = STOPPED.get(stopped, stopped) if stopped else None
        since_best = (self.saved_config.trainer.patience or 0) if stopped == "patience" else 0
        done = {"epoch": result.get("epochs", 0), "step": result.get("steps", 0)}
        return Cursor(next="done", stopped=stopped, since_best=since_best, **done)

    def check_same(self, config: DictConfig) -> None:
        """Refuse to continue the run in this folder with another config.

        Raises:
            UserError: names every key that differs, but for those that may change.
        """
        schema = VERBS[config.verb].schema
        counted = [name.rpartition(".")[2] for name in marked(schema, COUNTED)]
        now = OmegaConf.to_container(config, resolve=True)
        free = list(marked(schema, MAY_CHANGE))
        if config.get("run") is not None:
            free.append("weights")  # those of that run, which a verb notes when it has found them
        different = differences(self.saved_config, now, free, counted)
        if different:
            raise UserError(
                f"hydra.run.dir={self.path}: the run in this folder has another config: {', '.join(different)}"
            )

    def begin(self, config: DictConfig) -> None:
        """Say in ``result.json`` that the run is in progress, with its goal; then write the config of a new one.

        A run that goes on keeps the overrides of its start, and adds those that are new.
        """
        continues, before = self.exists, self.result
        earlier = [text for text in before.get("overrides", []) if not text.endswith("=of_run")] if continues else []
        given = {key(override): override for override in earlier}
        given |= {key(text): text for text in self.invocation.overrides if not continues or key(text) != "run"}
        goal = {"goal": asdict(Goal.of(config.trainer))} if VERBS[config.verb].trains else {}
        choices = {**before.get("choices", {}), **self.invocation.choices} if continues else self.invocation.choices
        # Verbs on a run that was killed while it was extended still name its classes.
        kept = {"classes": before["classes"]} if continues and "classes" in before else {}
        self._about = {**goal, **kept, "choices": dict(choices), "overrides": list(given.values())}
        self.save_result("running", 0.0, {})
        if not continues:
            self.save_config(config)

    def save_config(self, config: DictConfig) -> None:
        """Write the whole config, every reference in it resolved, at once or not at all.

        A run with code of the user's own is remembered, since what came this far is trusted: it opens again here.
        """
        write_whole(self.path / CONFIG, OmegaConf.to_yaml(config, resolve=True))
        if trust.names_foreign_code(OmegaConf.to_container(config, resolve=True)):
            trusted_runs.remember(self.path)

    def save_result(self, status: str, seconds: float, result: dict[str, Any]) -> None:
        """Write ``result.json``, at once or not at all.

        Args:
            status: running, completed, failed or interrupted.
            seconds: how long the command took.
            result: whatever else the command found, with its ``metrics``.
        """
        head = {"status": status, "metrics": {}, "seconds": round(seconds, 3)}
        self.write_result({**head, **self._about, **result})

    def write_result(self, result: dict[str, Any]) -> None:
        """Replace ``result.json``, at once or not at all."""
        write_whole(self.path / RESULT, json.dumps(_plain(result), indent=2, allow_nan=False) + "\n")

    def forget_events(self) -> None:
        """Remove what an earlier attempt in this folder has shown on TensorBoard: this one begins anew."""
        for file in self.path.rglob("events.out.tfevents.*"):
            file.unlink()

    def withdraw(self) -> bool:
        """Take back what a run writes before its command has done anything; True if that was all there was."""
        if {file.name for file in self.path.iterdir()} - {CONFIG, RESULT, LOG, LOCK}:
            return False
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()
        return True


def read_result(folder: Path) -> dict[str, Any]:
    """What a folder's ``result.json`` says; a run that is in progress no more is ``unfinished``. Empty without one.

    A metric that is ``null`` there is NaN or infinite, which JSON does not have: it is NaN here. A file that is damaged
    stands for a run that failed.
    """
    file = folder / RESULT
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text())
        found["metrics"] = {name: math.nan if value is None else value for name, value in found["metrics"].items()}
        is_running = found["status"] == "running"
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"status": "failed", "metrics": {}, "seconds": 0.0, "overrides": [], "error": f"{file}: damaged"}
    if is_running and not is_locked(folder):
        found["status"] = "unfinished"
    return found


def _plain(value: Any) -> Any:
    """The same nested value, with null for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def locked(folder: Path, key: str, wait: float = 0) -> Iterator[None]:
    """Keep other processes out of a folder, that of a run or of a sweep.

    Args:
        folder: it exists.
        key: of the config, which names it.
        wait: how many seconds to wait for another process to end.

    Raises:
        UserError: one is at work in it.
    """
    lock = FileLock(folder / LOCK, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{key}={folder}: another process is at work in this folder") from None
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in a run's folder."""
    file = folder / LOCK
    if not file.exists():
        return False
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False
