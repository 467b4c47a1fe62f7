"""What would have made a slow sweep faster."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from dlrun.config.plan import SERIAL, Plan

SLOW = 60.0
"""Seconds from which on a sweep is worth a word."""


def at_once(plan: Plan, jobs: int, seconds: float) -> str | None:
    """How to run several jobs of a sweep at once, where it was slow and had cores for it.

    Jobs of one core each beat jobs that follow each other with all cores, see ``benchmarks/sweep_parallel.py``.

    Args:
        plan: of the sweep, which has ended.
        jobs: how many there were.
        seconds: how long they took.

    Returns:
        A line; None where there is nothing to gain.
    """
    if plan.launcher != SERIAL or seconds < SLOW or _on_gpu():
        return None
    from joblib import cpu_count  # knows what a container may use

    count = min(jobs, cpu_count())
    if count < 2:
        return None
    extra = "" if find_spec("hydra_plugins.hydra_joblib_launcher") else " (pip install 'dlrun[parallel]')"
    return f"faster: hydra/launcher=joblib hydra.launcher.n_jobs={count} runs {count} jobs at once{extra}"


def _on_gpu() -> bool:
    """Whether the jobs in this process have used a GPU."""
    torch = sys.modules.get("torch")
    return torch is not None and (torch.cuda.is_initialized() or torch.backends.mps.is_available())
