"""A sweep on a terminal: one line for all of it, and one for each job that has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from omegaconf import OmegaConf

from dlrun import console
from dlrun.config.invocation import key
from dlrun.config.plan import Plan, job_name
from dlrun.errors import UserError
from dlrun.run.bars import Row
from dlrun.run.folder import RESULT, read_result

EVERY = 0.5
"""Seconds between two looks at the jobs."""
ENDED = ("completed", "failed")


@contextmanager
def watching(plan: Plan) -> Iterator[None]:
    """Show how the jobs of a sweep fare meanwhile; what they say goes to their logs. Nothing where nobody watches.

    Args:
        plan: the sweep, whose folder is there.
    """
    if not console.is_live():
        yield
        return
    console.rest()
    view, done = View(plan), threading.Event()

    def watch() -> None:
        while not done.wait(EVERY):
            view.look()

    watcher = threading.Thread(target=watch, daemon=True)
    console.draw(view.row)
    console.hush(True)
    watcher.start()
    try:
        yield
    finally:
        console.hush(False)
        done.set()
        watcher.join()
        view.look()
        console.clear(view.row)


class View:
    """What is known of the jobs, by their results.

    Args:
        plan: the sweep.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._results, self._stamps = plan, dict[str, dict[str, Any]](), dict[str, int]()
        self._names: set[str] | None = None
        with suppress(UserError):  # a search knows its jobs one by one
            self._names = {job_name(job, plan.constant) for job in plan.jobs()}
        total = len(self._names) if self._names is not None else OmegaConf.select(plan.full, "hydra.sweeper.trials")
        self._read()
        self.row = Row("sweep", total, self.notes, done=self._count("completed"))

    def look(self) -> None:
        """Read what is new, and print a line for each job that has ended since the last look."""
        for name in self._read():
            result = self._results[name]
            if result.get("status") in ENDED:
                console.announce(ending(self._short(result), result))
        self.row.done = sum(map(self._count, ENDED))

    def notes(self) -> list[list[str]]:
        """What to show beside the bar: how many have ended, failed and are running, and the best so far."""
        failed, running = self._count("failed"), self._count("running")
        notes = [[f"{self.row.done} of {self.row.total}"]] if self.row.total else [[f"{self.row.done} done"]]
        notes.append([f"{failed} failed"] if failed else [])
        found = [result for result in self._results.values() if _value(result) is not None]
        if found:
            best = max(found, key=lambda one: (_value(one) or 0.0) * (1 if one.get("higher_is_better", True) else -1))
            name = str(best["monitor"]).partition("/")[2]
            notes.append([f"best {name} {_value(best):.4f} ({self._short(best)})", f"best {_value(best):.4f}"])
        notes.insert(len(notes) if self._plan.is_parallel else 0, [f"{running} running"] if running > 1 else [])
        return notes

    def _read(self) -> list[str]:
        """Read the results that have changed; the names of their jobs."""
        changed = []
        for file in sorted(self._plan.folder.glob(f"*/{RESULT}")):
            name = file.parent.name
            if self._names is not None and name not in self._names:
                continue
            with suppress(OSError):  # it is being started anew
                stamp = file.stat().st_mtime_ns
                if self._stamps.get(name) != stamp:
                    self._results[name], self._stamps[name] = read_result(file.parent), stamp
                    changed.append(name)
        return changed

    def _count(self, status: str) -> int:
        return sum(result.get("status") == status for result in list(self._results.values()))

    def _short(self, result: dict[str, Any]) -> str:
        """What a job does not share with the others."""
        own = [text for text in result.get("overrides", []) if key(text) not in self._plan.constant]
        return " ".join(own) or "all"


def ending(job: str, result: dict[str, Any]) -> str:
    """The line for a job that has ended.

    Args:
        job: what it is.
        result: of its run.

    Example:
        >>> ending("seed=1", {"status": "failed", "seconds": 2.0, "error": "loss: NaN in step 3"})
        'seed=1: failed: loss: NaN in step 3'
    """
    if result["status"] == "failed":
        return f"{job}: failed: {result.get('error', '')}"
    monitor, metrics = str(result.get("monitor", "")), result["metrics"]
    names = [name for name in dict.fromkeys([monitor, monitor.replace("val/", "test/")]) if name in metrics]
    figures = [f"{name} {metrics[name]:.4f}" for name in names or list(metrics)[:2] if metrics[name] is not None]
    figures.append(f"{result['seconds']:.0f} s")
    return f"{job}: {', '.join(figures)}"


def _value(result: dict[str, Any]) -> float | None:
    """The best value of the metric that chooses the checkpoint, of a job that has come so far."""
    value = result.get("metrics", {}).get(result.get("monitor"))
    return value if isinstance(value, (int, float)) and value == value else None
