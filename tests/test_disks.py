"""Disks that are full or broken: every file is whole or as it was, and the same command then ends as on a good disk."""

from __future__ import annotations

import ast
import csv
import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dlrun import files
from dlrun.command.verbs import VERBS
from dlrun.config.invocation import Invocation
from dlrun.errors import RunError, sentence
from dlrun.run.folder import Run, read_result
from dlrun.run.sweep_table import table_rows
from tests.conftest import DRAWING, QUICK, Dlrun
from tests.disks import disk
from tests.test_structure import FILES, PACKAGE
from tests.torture import points

FINETUNE = (
    *("model.backbone=shufflenet_v2_x0_5", "weights=null", "dataset.root=photos", "dataset.image_size=32"),
    *("dataset.batch_size=8", "dataset.workers=0", "trainer.epochs=2", "cache=FOLDER/features", "seed=1"),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", *DRAWING, "callback.checkpoint.every_steps=20", "hydra.run.dir=FOLDER"),
    "sweep": ("train", "-m", *DRAWING, "seed=0,1", "hydra.sweep.dir=FOLDER"),
    "finetune": ("finetune", *FINETUNE, "hydra.run.dir=FOLDER"),
    "attack": ("attack", "run=trained", "limit=20", "attack.steps=2", "save=true", "hydra.run.dir=FOLDER"),
}
TIMES = {"seconds": 0, "expect": []}


def plain(value: Any) -> Any:
    """The same nested value, with the bytes of tensors."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def unnamed(value: Any, name: bytes) -> Any:
    """The same nested value, without the name of the run in its bytes; all names are equally long."""
    if isinstance(value, dict):
        return {key: unnamed(part, name) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [unnamed(part, name) for part in value]
    return value.replace(name, b"FOLDER") if isinstance(value, bytes) else value


def untimed(value: Any) -> Any:
    """The same nested value without what the clock says."""
    if isinstance(value, dict):
        return {key: untimed(part) for key, part in value.items() if key != "seconds"}
    return [untimed(part) for part in value] if isinstance(value, list) else value


def left(folder: Path) -> dict[str, Any]:
    """All that a command left, by file, without times."""
    found: dict[str, Any] = {}
    for file in (file for file in folder.rglob("*") if file.is_file()):
        name = str(file.relative_to(folder))
        if file.name == "result.json":
            found[name] = untimed(json.loads(file.read_text().replace(folder.name, "FOLDER")) | TIMES)
        elif file.name == "curve.csv":
            found[name] = [row | {"seconds": ""} for row in csv.DictReader(file.read_text().splitlines())]
        elif file.name == "sweep.csv":
            found[name] = re.sub(r"[\d.]+(?=,completed)", "", file.read_text())
        elif file.name.startswith("events."):
            found[f"{file.parent.relative_to(folder)} events"] = unnamed(points(file.parent), folder.name.encode())
        elif file.suffix == ".pt" and file.name != "previous.pt":
            state = torch.load(file, weights_only=True)
            state.pop("recorder", None)  # the names of its files have the time and the process in them
            found[name] = plain(state)
        elif file.suffix == ".lock" or file.name in (".lock", "log.txt", "previous.pt", "sweep.md", "multirun.yaml"):
            continue  # an empty lock may outlive a disk that cannot remove it
        else:
            found[name] = file.read_bytes().replace(folder.name.encode(), b"FOLDER")
    return found


def fail_and_repeat(dlrun: Dlrun, command: tuple[str, ...], place: int, whole: dict[str, Any]) -> None:
    """Let one write fail; a line says so; the same command again leaves what an undisturbed one does."""
    folder, number = f"run{place:04}", (errno.ENOSPC, errno.EIO)[place % 2]
    again = [word.replace("FOLDER", folder) for word in command]
    with disk(place, number) as broken:
        ended = dlrun(*again)
    assert broken.writes >= place
    assert "Traceback" not in ended.out + ended.err, ended.err
    if ended.status:
        assert re.search(rf"dlrun: .*{folder}\S*: cannot be written: ", ended.out + ended.err), ended.err
    for file in Path(folder).rglob("result.json"):
        assert json.loads(file.read_text())["status"] in ("running", "failed", "completed")
    if ended.status:  # what it does not need may fail: the table of a sweep is written once more
        repeated = dlrun(*again)
        assert repeated.status == 0, f"write {place}: {repeated.err}"
    found = left(Path(folder))
    assert found.keys() == whole.keys(), f"write {place}"
    assert [name for name in whole if found[name] != whole[name]] == [], f"write {place}"


def test_a_training_with_a_write_that_fails_ends_as_one_without(dlrun: Dlrun) -> None:
    with disk() as good:
        ended = dlrun(*(word.replace("FOLDER", "run0000") for word in COMMANDS["train"]))
    assert ended.status == 0, ended.err
    assert good.writes > 12
    whole = left(Path("run0000"))
    for place in (2, 9):  # all of them below the command line: tests/training/test_boundaries.py
        fail_and_repeat(dlrun, COMMANDS["train"], place, whole)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_call_of_a_command_that_changes_a_file_may_fail(name: str) -> None:
    walk = [sys.executable, "-m", "tests.disk_table", name]
    ended = subprocess.run(walk, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for write in (files.write_whole, files.append):
        with disk(1), pytest.raises(RunError, match=r"a\.txt: cannot be written: No space left on device; what was"):
            write(file, "one\n")
        assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == []
    files.write_whole(file, "one\n")
    files.append(file, "two\n")
    for write in (files.write_whole, files.append):
        with disk(1, errno.EIO), pytest.raises(RunError, match="Input/output error"):
            write(file, "three\n")
        assert file.read_text() == "one\ntwo\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_disk_that_takes_a_part_at_a_time_gets_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: write(number, data[:3]))
    files.write_whole(tmp_path / "a", "0123456789")
    files.append(tmp_path / "a", b"ab" * 5)
    assert (tmp_path / "a").read_text() == "0123456789ababababab"


def test_leftovers_are_known_by_their_names(tmp_path: Path) -> None:
    stale = [".last.pt.123.tmp", ".last.pt.77", ".config.yaml.5.tmp"]
    kept = [".lock", ".hidden.pt", "last.pt.123", ".reproduced", "a.1.tmp"]
    (tmp_path / "checkpoints").mkdir()
    for name in (*stale, *kept):
        (tmp_path / "checkpoints" / name).touch()
    files.remove_leftovers(tmp_path, below=False)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 8
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == sorted(kept)


def test_only_one_module_writes_files() -> None:
    """But for what cannot be half-written, or is another tool's."""
    allowed = {"files.py": {"open"}, "logger/mlflow.py": set[str](), "run/output.py": {"open"}}
    found = []
    for file in FILES:
        place = str(file.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            writes = name in ("write_text", "write_bytes") or (
                name == "open" and any(re.fullmatch("[awx]b?", mode) for mode in modes)
            )
            if writes and name not in allowed.get(place, set()):
                found.append(f"{place}:{node.lineno}: {name}")
    assert found == []


def test_numbers_that_json_has_not_are_null_and_read_as_nan(tmp_path: Path) -> None:
    run = Run(tmp_path, Invocation("train", tmp_path))
    run.save_result("completed", 1.0, {"metrics": {"val/loss": math.nan, "b": math.inf, "c": 0.5}, "curve": [math.nan]})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    plain = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    assert plain["metrics"] == {"val/loss": None, "b": None, "c": 0.5}
    assert plain["curve"] == [None]
    metrics = read_result(tmp_path)["metrics"]
    assert metrics["c"] == 0.5
    assert math.isnan(metrics["val/loss"])


def test_jobs_without_a_number_come_last_in_the_table(tmp_path: Path) -> None:
    for name, value in (("a", math.nan), ("b", 0.5), ("c", 0.7)):
        (tmp_path / name).mkdir()
        result = {"metrics": {"val/accuracy": value}, "monitor": "val/accuracy"}
        Run(tmp_path / name, Invocation("train", tmp_path / name)).save_result("completed", 1.0, result)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "result.json").write_text('{"status": "comp')
    rows = table_rows(tmp_path)
    assert [(row["job"], row["best"]) for row in rows] == [("c", 0.7), ("b", 0.5), ("a", None), ("d", None)]
    assert rows[3]["status"] == "failed"
    assert rows[3]["note"].endswith("d/result.json: damaged")


def test_errors_of_the_disk_name_the_file() -> None:
    for name in ("runs/a", b"runs/a", Path("runs/a")):
        assert sentence(OSError(errno.ENOSPC, "No space left on device", name)).startswith("runs/a: cannot be written")


def test_a_verb_that_stopped_short_begins_anew_in_its_folder(dlrun: Dlrun) -> None:
    assert any(not entry.continues for entry in VERBS.values())
    assert dlrun("train", *QUICK, "hydra.run.dir=trained").status == 0
    evaluate = ("evaluate", "run=trained", "hydra.run.dir=there")
    with disk(3):
        assert dlrun(*evaluate).status == 1
    assert dlrun(*evaluate, "split=val").status == 2  # another config
    assert dlrun(*evaluate).status == 0
    assert len(list(Path("there").glob("events.*"))) == 1
    again = dlrun(*evaluate)
    assert again.errors == ["dlrun: hydra.run.dir=there: there is a run in this folder already; expected a new one"]
