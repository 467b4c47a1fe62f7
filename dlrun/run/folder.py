"""The run folder: what a command leaves behind, and all that verbs hand to each other."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dlrun import console, interrupt
from dlrun.config import schema, trust
from dlrun.config.difference import differences
from dlrun.errors import RunError, UserError
from dlrun.experiment import claims as expect
from dlrun.files import write_whole
from dlrun.run import sweep_table
from dlrun.run.follow_up import follow

Main = Callable[[DictConfig, "Run"], dict[str, Any]]

LOCK = ".lock"
WAIT = 10.0  # seconds that a job gives to a worker left by a killed sweep to end its step
RESUMABLE = ("train", "finetune")
"""The verbs that continue a run which they find in their folder."""


class Run:
    """A run's folder, with ``config.yaml``, ``result.json``, ``log.txt`` and whatever the command adds.

    Args:
        path: the folder; it exists.
        overrides: what the user typed, for the table of a sweep.
    """

    def __init__(self, path: Path, overrides: list[str]) -> None:
        self.path = Path(os.path.relpath(path))  # as the user would write it
        self.overrides = overrides
        from dlrun.config.invocation import Invocation

        hydra = HydraConfig.get()
        self.invocation = Invocation("", path, tuple(overrides), dict(hydra.runtime.choices))

    @property
    def exists(self) -> bool:
        """Whether there is a run in this folder already."""
        return (self.path / "config.yaml").exists()

    @contextmanager
    def locked(self, wait: float = 0) -> Iterator[None]:
        """Keep other processes out of this folder; a process that is killed keeps nobody out.

        Args:
            wait: how many seconds to wait for one to end.

        Raises:
            UserError: one is at work in it.
        """
        lock = FileLock(self.path / LOCK, timeout=wait)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"hydra.run.dir={self.path}: another process is at work in this folder") from None
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    @property
    def saved_config(self) -> DictConfig:
        """The config of the run in this folder."""
        config = OmegaConf.load(self.path / "config.yaml")
        assert isinstance(config, DictConfig)
        return config

    @property
    def status(self) -> str:
        """How the run in this folder ended: completed, failed, interrupted, or unfinished where it says nothing."""
        try:
            status: str = self.result["status"]
        except FileNotFoundError:
            return "unfinished"
        return status

    @property
    def result(self) -> dict[str, Any]:
        """What the run in this folder found."""
        found: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return found

    def is_finished(self, config: DictConfig) -> bool:
        """Whether the run in this folder has done all that a config asks for."""
        if self.status != "completed":
            return False
        saved = self.saved_config.trainer
        return config.trainer.steps == saved.steps and bool(config.trainer.epochs <= saved.epochs)

    def check_same(self, config: DictConfig) -> None:
        """Refuse to continue the run in this folder with another config.

        Raises:
            UserError: names every key that differs, but for those that may change.
        """
        different = differences(self.saved_config, OmegaConf.to_container(config, resolve=True))
        if different:
            raise UserError(
                f"hydra.run.dir={self.path}: the run in this folder has another config: {', '.join(different)}"
            )

    def save_config(self, config: DictConfig) -> None:
        """Write the whole config, every reference in it resolved."""
        OmegaConf.save(config, self.path / "config.yaml", resolve=True)

    def save_result(self, status: str, seconds: float, result: dict[str, Any]) -> None:
        """Write ``result.json``, at once or not at all.

        Args:
            status: completed, failed or interrupted.
            seconds: how long the command took.
            result: whatever else the command found, with its ``metrics``.
        """
        record = {
            "status": status,
            "metrics": {},
            "seconds": round(seconds, 3),
            **result,
            "overrides": self.overrides,
        }
        write_whole(self.path / "result.json", json.dumps(record, indent=2) + "\n")

    def withdraw(self) -> bool:
        """Take back what a run writes before its command has done anything; True if that was all there was."""
        if {file.name for file in self.path.iterdir()} - {"config.yaml", "log.txt", LOCK}:
            return False
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()
        return True


def run_job(main: Main, config: DictConfig) -> None:
    """Run a command in the folder that Hydra has chosen, and record how it ended.

    A job of a sweep raises nothing but an interruption: what went wrong is in its ``result.json``, and the next one
    starts.

    Args:
        main: the command; takes config and run, returns what goes into ``result.json``.
        config: the composed config.
    """
    hydra = HydraConfig.get()
    sweeping = hydra.mode == RunMode.MULTIRUN
    if sweeping and not interrupt.takes_jobs():
        return
    run = Run(Path(hydra.runtime.output_dir), list(hydra.overrides.task))
    continues = run.exists
    if continues:
        if config.verb not in RESUMABLE:
            raise UserError(f"hydra.run.dir={run.path}: there is a run in this folder already; expected a new one")
        schema.check(config)
        run.check_same(config)
        if run.is_finished(config):
            console.say(f"finished already: {run.path}")
            result = run.result
            judged = expect.judge(config.get("expect"), result)
            if judged != result.get("expect", []):
                run.save_result(result["status"], result["seconds"], {**result, "expect": judged})
            report(judged, sweeping)
            return
    started = time.perf_counter()
    wait = WAIT if sweeping else 0
    with run.locked(wait), console.log_to(run.path / "log.txt"), interrupt.at_once():
        try:
            schema.check(config)
            reopened = [group for group, choice in hydra.runtime.choices.items() if choice == "of_run"]
            trust.check_objects(config, config.get("run"), config.trust, reopened)
            if not continues:
                run.save_config(config)
            result = main(config, run)
            if then := config.get("then"):
                # What follows reads this run, whose result is not whole before it has come to an end.
                run.save_result("interrupted", time.perf_counter() - started, result)
                result["metrics"] = {**result["metrics"], **follow(then, run.path)}
        except BaseException as error:
            if isinstance(error, UserError) and not sweeping and (continues or run.withdraw()):
                raise  # what is in the folder already stays as it is
            stopped = isinstance(error, (interrupt.Interrupted, KeyboardInterrupt))
            if not stopped and not isinstance(error, (UserError, RunError)):
                console.note(traceback.format_exc())
            message = str(error) or type(error).__name__
            seconds = time.perf_counter() - started
            with suppress(RunError):  # the disk may be full, and the first error says more
                run.save_result("interrupted" if stopped else "failed", seconds, {"error": message})
            if (stopped and not interrupt.leave()) or not sweeping:
                raise
            console.say(f"{run.path.name}: {message}" if stopped else f"failed: {message}")
        else:
            seconds = time.perf_counter() - started
            result["expect"] = expect.judge(config.get("expect"), {**result, "seconds": seconds})
            run.save_result("completed", seconds, result)
            console.say(f"run folder: {run.path}")
            report(result["expect"], sweeping)
        finally:
            if sweeping:
                sweep_table.update(run.path.parent)


def report(judged: list[dict[str, Any]], sweeping: bool) -> None:
    """Print what was expected of a run beside what came out; a sweep goes on where it is not met.

    Raises:
        RunError: it is not met.
    """
    if not judged:
        return
    console.say(expect.table(judged))
    unmet = [row["metric"] for row in judged if not row["met"]]
    if unmet and not sweeping:
        raise RunError(f"expect: not met for {', '.join(unmet)}")
