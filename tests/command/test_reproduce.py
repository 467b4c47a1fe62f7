"""``dlrun reproduce`` on experiments that take a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlrun import paths
from dlrun.command.reproduce import choose, is_embedded
from dlrun.experiment import header
from tests.conftest import Dlrun, only_run, result


def test_the_report_says_what_is_claimed_and_measured_and_a_second_run_runs_nothing(dlrun: Dlrun) -> None:
    ended = dlrun("reproduce", "dense_layer", "report=here")
    assert ended.status == 0, ended.err
    table = Path("here/README.md").read_text()
    assert "| dense_layer |  | parameters | 38,654,902,272 | 38,654,902,272 | met |" in table
    assert result(only_run(Path("runs/reproduce")))["metrics"] == {"experiments": 1, "claims": 2, "not_met": 0}
    before = {file: file.stat().st_mtime_ns for file in Path("runs/experiments").rglob("*")}
    assert (Path("runs/experiments") / paths.ASIDE).is_file()
    assert dlrun("reproduce", "dense*").status == 0
    assert before == {file: file.stat().st_mtime_ns for file in Path("runs/experiments").rglob("*")}


def test_what_takes_days_runs_only_by_name(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [header.read(name) for name in ("convmixer_published", "dense_layer")]
    monkeypatch.setattr("dlrun.command.reproduce.choose", lambda patterns: found)
    assert dlrun("reproduce", "all=true", "report=here").status == 0
    table = Path("here/README.md").read_text()
    reason = "it takes days on two cores, half an hour on a GPU"
    assert f"| convmixer_published |  |  |  | {reason} | not run |  |" in table
    assert result(only_run(Path("runs/reproduce")))["metrics"] == {"experiments": 1, "claims": 2, "not_met": 0}
    assert not Path("runs/experiments/convmixer_published").exists()
    measured = table.replace(f" | {reason} | not run |", " | 0.9 | met |")
    Path("here/README.md").write_text(measured)
    assert dlrun("reproduce", "all=true", "report=here").status == 0
    assert Path("here/README.md").read_text() == measured


def test_an_unknown_experiment_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("reproduce", "xorr")
    assert ended.status == 2
    assert ended.errors[0].startswith("dlrun: experiments=xorr: no such experiment or lesson; did you mean 'xor'?")


def test_lessons_are_chosen_beside_experiments() -> None:
    assert not {*header.names()} & {*header.names("lesson")}
    assert [found.choice for found in choose(["xor", "least_squares"])] == ["experiment=xor", "lesson=least_squares"]
    assert len(choose(None)) == len(header.names()) + len(header.names("lesson"))
    assert is_embedded(header.read("least_squares", "lesson"))
