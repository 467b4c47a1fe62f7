"""The run folder: what a command leaves behind, and all that verbs hand to each other."""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dlrun import __version__, console, schema
from dlrun.errors import RunError, UserError

Main = Callable[[DictConfig, "Run"], dict[str, Any]]


class Run:
    """A run's folder, with ``config.yaml``, ``result.json``, ``log.txt`` and whatever the command adds.

    Args:
        path: the folder; it exists.
        overrides: what the user typed, for the table of a sweep.
    """

    def __init__(self, path: Path, overrides: list[str]) -> None:
        self.path = path
        self.overrides = overrides

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
            "dlrun": __version__,
            "python": platform.python_version(),
        }
        temporary = self.path / ".result.json"
        temporary.write_text(json.dumps(record, indent=2) + "\n")
        os.replace(temporary, self.path / "result.json")

    def withdraw(self) -> bool:
        """Take back what a run writes before its command has done anything; True if that was all there was."""
        if {file.name for file in self.path.iterdir()} - {"config.yaml", "log.txt"}:
            return False
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()
        return True


def run_job(main: Main, config: DictConfig) -> None:
    """Run a command in the folder that Hydra has chosen, and record how it ended.

    A job of a sweep never raises: what went wrong is in its ``result.json``, and the next one starts.

    Args:
        main: the command; takes config and run, returns what goes into ``result.json``.
        config: the composed config.
    """
    hydra = HydraConfig.get()
    run = Run(Path(hydra.runtime.output_dir), list(hydra.overrides.task))
    sweeping = hydra.mode == RunMode.MULTIRUN
    if (run.path / "config.yaml").exists():
        raise UserError(f"hydra.run.dir={run.path}: there is a run in this folder already; expected a new one")
    started = time.perf_counter()
    with console.log_to(run.path / "log.txt"):
        try:
            schema.check(config)
            run.save_config(config)
            result = main(config, run)
        except BaseException as error:
            seconds = time.perf_counter() - started
            if isinstance(error, UserError) and not sweeping and run.withdraw():
                raise
            message = str(error) or type(error).__name__
            if not isinstance(error, (UserError, RunError)):
                console.note(traceback.format_exc())
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            run.save_result(status, seconds, {"error": message})
            if not sweeping or isinstance(error, KeyboardInterrupt):
                raise
            console.say(f"failed: {message}")
        else:
            run.save_result("completed", time.perf_counter() - started, result)
            console.say(f"run folder: {os.path.relpath(run.path)}")
