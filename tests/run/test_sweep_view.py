"""What a terminal shows of a sweep: by the results in its folder, whoever runs the jobs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from dlrun import console
from dlrun.run.bars import line
from dlrun.run.sweep_view import View, watching


def plan_of(folder: Path, parallel: bool = False) -> Any:
    jobs = [["model=lenet", f"optimizer.lr={rate}"] for rate in (0.1, 0.01, 0.5, 0.2)]
    return SimpleNamespace(
        folder=folder, constant=["model"], jobs=lambda: jobs, is_parallel=parallel, full=OmegaConf.create()
    )


def write(folder: Path, rate: float, status: str, accuracy: float | None, **more: object) -> None:
    job = folder / f"optimizer.lr-{rate}"
    job.mkdir(parents=True, exist_ok=True)
    metrics = {} if accuracy is None else {"val/accuracy": accuracy, "test/accuracy": accuracy - 0.1}
    result = {
        "status": status,
        "metrics": metrics,
        "seconds": 12.4,
        "monitor": "val/accuracy",
        "overrides": ["model=lenet", f"optimizer.lr={rate}"],
        **more,
    }
    (job / "result.json").write_text(json.dumps(result))


def test_a_line_counts_the_jobs_and_says_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, 0.1, "completed", 0.75)  # of an earlier attempt
    write(tmp_path, 0.9, "completed", 0.99)  # no job of this sweep
    view = View(plan_of(tmp_path))
    assert (view.row.total, view.row.done, view.row.first) == (4, 1, 1)
    write(tmp_path, 0.01, "completed", 0.875)
    write(tmp_path, 0.5, "failed", None, error="train/loss is nan in step 3")
    view.look()
    view.look()
    assert capsys.readouterr().out.splitlines() == [
        "optimizer.lr=0.01: val/accuracy 0.8750, test/accuracy 0.7750, 12 s",
        "optimizer.lr=0.5: failed: train/loss is nan in step 3",
    ]
    view.row.started = 0.0
    shown = line(view.row, 120, 20.0, no_color=True).plain  # two jobs took 20 s, one is to go
    assert shown.split("  ")[-4:] == ["0:10", "3 of 4", "1 failed", "best accuracy 0.8750 (optimizer.lr=0.01)"]
    assert line(view.row, 60, 20.0, no_color=True).plain.endswith("0:10  3 of 4  1 failed  best 0.8750")


def test_jobs_are_hushed_while_somebody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for live in (True, False):
        monkeypatch.setenv("TERM", "xterm")
        shown = Console(force_terminal=live, width=80, soft_wrap=True, highlight=False, markup=False, record=True)
        monkeypatch.setattr(console, "terminal", shown)
        with watching(plan_of(tmp_path)):
            console.say("epoch 1/3")
            write(tmp_path, 0.2, "completed", 0.5 if live else 0.6)
        console.say("afterwards")
        text = shown.export_text()
        assert ("epoch 1/3" in text) != live
        assert ("optimizer.lr=0.2: val/accuracy 0.5000" in text) == live
        assert "afterwards" in text
