"""What a slow sweep is told at its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from dlrun.config.plan import JOBLIB, SERIAL, Plan
from dlrun.run import advice
from tests.conftest import QUICK, Dlrun

ADVICE = "faster: hydra/launcher=joblib hydra.launcher.n_jobs={0} runs {0} jobs at once"


@pytest.mark.parametrize(
    ("launcher", "cores", "jobs", "seconds", "count"),
    [
        (SERIAL, 4, 9, 61.0, 4),
        (SERIAL, 4, 3, 61.0, 3),
        (SERIAL, 4, 9, 59.0, None),
        (SERIAL, 1, 9, 61.0, None),
        (SERIAL, 4, 1, 61.0, None),
        (JOBLIB, 4, 9, 61.0, None),
    ],
)
def test_a_slow_sweep_that_could_be_faster_says_how(
    monkeypatch: pytest.MonkeyPatch, launcher: str, cores: int, jobs: int, seconds: float, count: int | None
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    monkeypatch.setattr(advice, "find_spec", lambda name: object())
    plan = cast(Plan, SimpleNamespace(launcher=launcher))
    assert advice.at_once(plan, jobs, seconds) == (ADVICE.format(count) if count else None)
    monkeypatch.setattr(advice, "find_spec", lambda name: None)
    told = advice.at_once(plan, jobs, seconds)
    assert told == (ADVICE.format(count) + " (pip install 'dlrun[parallel]')" if count else None)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    assert advice.at_once(plan, jobs, seconds) is None


def test_the_end_of_a_slow_sweep_says_it(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    sweep = ("train", "-m", "seed=0,1", *QUICK, "trainer.epochs=1")
    assert "faster:" not in dlrun(*sweep).out
    monkeypatch.setattr(advice, "SLOW", 0.0)
    assert dlrun(*sweep).out.splitlines()[-1].startswith(ADVICE.format(2))
