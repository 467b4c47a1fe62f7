"""Loggers that cannot be cut back, with the real packages: every step once, the same entry again, how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dlrun.logger import wandb_file
from tests.conftest import QUICK, Dlrun, only_run

ROOT = Path(__file__).parents[2]
NAMES = ("wandb", "mlflow", "trackio")
PROLOGUE = """
import json, os, signal, sys
from pathlib import Path
from dlrun.logger.{name} import {kind} as Kind
from dlrun.record.recorder import Recorder
from tests.record.test_recorder import drawing

folder = Path("runs/train/lenet-digits/now")
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yaml").write_text("seed: 3\\noptimizer: {{lr: 0.1}}\\n")
recorder = Recorder(folder, [Kind()], "figures")


def record(steps):
    for step in steps:
        recorder.scalars({{"step/loss": 1 / step}}, step)
        if step % 2 == 0:
            recorder.scalars({{"train/loss": 2 / step, "val/loss": 3 / step}}, step // 2)
            recorder.figure("map", drawing(1 / step), step)
"""
KINDS = {"wandb": "WandB", "mlflow": "MLflow", "trackio": "Trackio"}
FIRST = """
recorder.begin({"optimizer.lr": 0.1, "model": "lenet"}, ["val/loss"], [], ["loss"], "seed: 3\\n")
record(range(1, 7))
Path("state.json").write_text(json.dumps(recorder.state_dict()))
record(range(7, 11))
"""
KILLED = "recorder.loggers[0].flush()\nos.kill(os.getpid(), signal.SIGKILL)\n"
AGAIN = """
recorder.load_state_dict(json.loads(Path("state.json").read_text()))
record(range(7, 13))
recorder.table("rows", [{"a": 1}])
recorder.success()
recorder.close()
"""


def process(name: str, folder: Path, text: str, status: int = 0) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    source = PROLOGUE.format(name=name, kind=KINDS[name]) + text
    command = [sys.executable, "-c", source]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == status, ended.stderr


def in_wandb(folder: Path) -> dict[str, Any]:
    run = folder / "runs" / "train" / "lenet-digits" / "now"
    id = json.loads((run / "wandb.json").read_text())["id"]
    files = sorted(run.glob(f"wandb/offline-run-*-{id}/run-{id}.wandb"))
    rows = [row for file in files for row in wandb_file.rows(file)]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    steps = {tag: [(row[axis], row[tag]) for row in rows if tag in row] for tag, axis in AXES.items()}
    steps["map"] = [row["step"] for row in rows if "map" in row]
    pictures = sorted(run.glob("wandb/offline-run-*/files/media/images/map_*.png"))
    return {"entries": {id}, "points": steps, "pictures": [file.read_bytes() for file in pictures]}


def in_mlflow(folder: Path) -> dict[str, Any]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("dlrun")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    points = {
        tag: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, tag)] for tag in AXES
    }
    artifacts = folder / "runs" / "mlartifacts" / run.info.run_id / "artifacts"
    assert run.data.params == {"optimizer.lr": "0.1", "model": "lenet"}
    assert (artifacts / "config.yaml").read_text() == "seed: 3\n"
    return {
        "entries": {run.info.run_id},
        "points": points,
        "pictures": [(artifacts / "figures" / "map.png").read_bytes()],
        "status": run.info.status,
        "name": run.info.run_name,
    }


def in_trackio(folder: Path) -> dict[str, Any]:
    script = """
import json
from trackio.sqlite_storage import SQLiteStorage
names = SQLiteStorage.get_runs("dlrun")
print(json.dumps([names, SQLiteStorage.get_logs("dlrun", names[0]), SQLiteStorage.get_run_config("dlrun", names[0])]))
"""
    environment = {**os.environ, "TRACKIO_DIR": str(folder / "trackio")}
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    names, rows, config = json.loads(out.splitlines()[-1])
    points = {tag: [(row["step"], row[tag]) for row in rows if tag in row] for tag in AXES}
    pictures = [row for row in rows if "map" in row]
    assert config["hparams"] == {"optimizer.lr": 0.1, "model": "lenet"}
    return {
        "entries": set(names),
        "points": {**points, "map": [row["step"] for row in pictures]},
        "pictures": [(folder / "trackio" / "media" / row["map"]["file_path"]).read_bytes() for row in pictures],
        "status": [row["status"] for row in rows if "status" in row][-1] if rows else None,
    }


AXES = {"step/loss": "step", "train/loss": "epoch", "val/loss": "epoch"}
READ: dict[str, Callable[[Path], dict[str, Any]]] = {"wandb": in_wandb, "mlflow": in_mlflow, "trackio": in_trackio}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_goes_on_in_the_same_entry_and_has_every_step_once(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    process(name, tmp_path, FIRST + KILLED, status=-9)
    process(name, tmp_path, AGAIN)
    found = READ[name](tmp_path)
    assert len(found["entries"]) == 1
    expected = {
        "step/loss": [(step, 1 / step) for step in range(1, 13)],
        "train/loss": [(epoch, 1 / epoch) for epoch in range(1, 7)],
        "val/loss": [(epoch, 1.5 / epoch) for epoch in range(1, 7)],
    }
    for tag, points in expected.items():
        assert [step for step, _ in found["points"][tag]] == [step for step, _ in points]
        assert [value for _, value in found["points"][tag]] == pytest.approx([value for _, value in points])
    if "map" in found["points"]:
        assert found["points"]["map"] == [2, 4, 6, 8, 10, 12]
    last = (tmp_path / "runs" / "train" / "lenet-digits" / "now" / "figures" / "map.png").read_bytes()
    assert last in found["pictures"]
    if name != "wandb":  # whose file has the exit status
        assert found["status"] == {"mlflow": "FINISHED", "trackio": "completed"}[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_start_from_nothing_after_a_kill_goes_on_in_the_same_entry(name: str, tmp_path: Path) -> None:
    """Killed before the first checkpoint: no state, but the id is in the run's folder."""
    pytest.importorskip(name)
    begin = FIRST.splitlines()[1]
    process(name, tmp_path, f"{begin}\nrecord(range(1, 5))\n{KILLED}", status=-9)
    process(name, tmp_path, f"recorder.clear()\n{begin}\nrecord(range(1, 7))\nrecorder.close('failed')\n")
    found = READ[name](tmp_path)
    assert len(found["entries"]) == 1
    assert [step for step, _ in found["points"]["step/loss"]] == [1, 2, 3, 4, 5, 6]
    if name != "wandb":
        assert found["status"] in ("FAILED", "failed")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_id_is_in_the_checkpoint_too(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    lose = f'os.unlink(folder / "{name}.json")\n'
    process(name, tmp_path, FIRST + "recorder.close()\n" + lose)
    process(name, tmp_path, AGAIN)
    found = READ[name](tmp_path)
    assert len(found["entries"]) == 1
    assert [step for step, _ in found["points"]["step/loss"]] == list(range(1, 13))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_one_line_before_anything_is_made(
    dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == name else find(module))
    ended = dlrun("train", *QUICK, f"logger={name}")
    assert ended.status == 2
    assert ended.errors == [f"dlrun: logger={name}: needs {name}; pip install 'dlrun[{name}]'"]
    assert not list(Path("runs").rglob("config.yaml"))


def test_several_loggers_and_none(dlrun: Dlrun) -> None:
    ended = dlrun("train", *QUICK, "logger=[tensorboard,mlflow]", "hydra.run.dir=both")
    assert ended.status == 0, ended.err
    assert list(Path("both").glob("events.out.tfevents.*"))
    assert Path("both/mlflow.json").exists()
    assert Path("runs/mlflow.db").exists()
    assert set(OmegaConf.load("both/config.yaml").logger) == {"tensorboard", "mlflow"}
    ended = dlrun("train", *QUICK, "logger=[]")
    assert ended.status == 0, ended.err
    assert not list(Path("runs").rglob("events.out.tfevents.*"))
    assert (only_run(Path("runs/train")) / "metrics.csv").exists()


def test_online_without_an_account_is_one_line(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for key in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    monkeypatch.setenv("NETRC", str(Path("none")))
    ended = dlrun("train", *QUICK, "logger=wandb", "logger.wandb.mode=online")
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith("dlrun: logger.wandb.mode=online: refused by W&B (")


def test_the_reader_of_wandb_files_follows_messages_over_the_end_of_a_block() -> None:
    """LevelDB's log: a message split over blocks of 32 KiB, and the rest of a block too small for a record."""
    header, block = b":W&B\xe1\xbe\x00", 32 * 1024

    def record(kind: int, part: bytes) -> bytes:
        return wandb_file.RECORD.pack(0, len(part), kind) + part

    first = b"a" * 100
    rest = block - len(header) - len(record(1, first)) - 7
    second = b"b" * (rest + block - 7 + 5)
    data = header + record(1, first) + record(2, second[:rest])
    data += record(3, second[rest : rest + block - 7]) + record(4, second[rest + block - 7 :])
    filler = b"c" * (block - (len(data) % block) - 7 - 3)
    data += record(1, filler) + b"\x00\x00\x00" + record(1, b"last")
    found = list(wandb_file.messages(data))
    assert found == [first, second, filler, b"last"]
    assert list(wandb_file.messages(data[:-2])) == found[:-1]  # cut off by a kill
