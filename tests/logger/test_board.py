"""``dlrun tensorboard``: which folder, and that something answers."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from dlrun.logger import board
from tests.conftest import Dlrun


def run_in(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.pt", "events.out.tfevents.1.host.2.3"):
        (folder / name).touch()
    return folder


def test_the_folder_is_all_runs_or_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = run_in(Path("runs/train/lenet-digits/now"))
    assert board.chosen([]) == (Path("runs"), [])
    assert board.chosen(["--port", "7007"]) == (Path("runs"), ["--port", "7007"])
    assert board.chosen(["last", "--bind_all"]) == board.chosen(["run=last", "--bind_all"]) == (run, ["--bind_all"])
    assert board.chosen([str(run.parent)]) == (run.parent, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "runs: no runs here yet; dlrun train makes one"),
        (("photos",), "photos: no such folder; expected one of runs, or last"),
        (("empty",), "empty: no run in this folder has anything for TensorBoard"),
    ],
)
def test_nothing_to_show_is_said(dlrun: Dlrun, words: tuple[str, ...], said: str) -> None:
    Path("empty").mkdir()
    ended = dlrun("tensorboard", *words)
    assert (ended.status, ended.errors) == (2, [f"dlrun: tensorboard {said}"])


def test_it_answers_at_the_address_that_it_gives(tmp_path: Path) -> None:
    run_in(tmp_path / "run")
    address = board.start(tmp_path, ["--port", "0", "--load_fast", "false"])
    with urllib.request.urlopen(f"{address}data/environment") as answer:
        assert json.load(answer)["data_location"] == str(tmp_path)
