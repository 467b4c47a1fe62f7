"""Which run ``run=last`` is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dlrun import paths
from dlrun.errors import UserError
from dlrun.run import job
from tests.conftest import Dlrun
from tests.test_configs import composed

NOW = iter(range(1_000_000_000, 1_000_001_000))


def make(folder: str, with_checkpoint: bool = True) -> Path:
    """A run that is newer than all before it."""
    run = Path(folder)
    (run / "checkpoints").mkdir(parents=True)
    if with_checkpoint:
        (run / "checkpoints/last.pt").touch()
    (run / "config.yaml").touch()
    moment = next(NOW)
    os.utime(run / "config.yaml", (moment, moment))
    return run


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_is_the_newest_run_with_a_checkpoint() -> None:
    assert paths.newest() is None
    with pytest.raises(UserError, match="run=last: no run with a checkpoint"):
        paths.find_run("last")
    make("runs/train/b/1")
    last = make("runs/train/a/2")
    make("runs/evaluate/a/3", with_checkpoint=False)
    Path("config.yaml").touch()  # of something else
    assert paths.newest() == paths.find_run("last") == last


def test_of_a_sweep_it_is_the_best_job() -> None:
    make("runs/train/a/1")
    for name in ("lr-0.1", "lr-0.2", "lr-0.3"):
        make(f"runs/train/sweep/1/{name}")
    table = Path("runs/train/sweep/1/sweep.csv")
    table.write_text('optimizer.lr,val/accuracy,folder\n"0.2",0.9,lr-0.2\n0.1,0.8,lr-0.1\n0.3,,lr-0.3\n')
    assert paths.newest() == table.parent / "lr-0.2"
    (table.parent / "lr-0.2/checkpoints/last.pt").unlink()  # nothing that a verb could read
    assert paths.newest() == table.parent / "lr-0.3"
    last = make("runs/train/a/2")
    assert paths.newest() == last


def test_runs_that_another_command_made_are_not_it() -> None:
    last = make("runs/train/a/1")
    make("runs/train/a/1/head")  # then: {head: finetune ...}
    make("runs/experiments/xor")
    make("runs/experiments/gates/and")
    Path("runs/experiments", paths.ASIDE).touch()
    assert paths.newest() == last


def test_a_command_says_which_run_it_took_and_remembers_it(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    OmegaConf.save(composed("train"), make("runs/train/a/1") / "config.yaml", resolve=True)
    begun: list[Any] = []
    monkeypatch.setattr(job, "run_job", lambda config, _, call: begun.append(config.run))
    ended = dlrun("evaluate", "run=last")
    assert ended.out.splitlines()[0] == "run=last: runs/train/a/1", ended.err
    assert begun == ["runs/train/a/1"]  # whatever is trained meanwhile
