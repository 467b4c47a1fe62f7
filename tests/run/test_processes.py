"""One run in several processes: what its end is, when one is killed, stopped, or fails."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch.distributed import HashStore  # type: ignore[attr-defined]

from dlrun.run import member, processes
from dlrun.training.process_group import LostError
from tests.conftest import Dlrun
from tests.processes import ended, start, struck
from tests.torture import fingerprint

COMMAND = [
    "train",
    "model=cnn",
    "model.widths=[4,4]",
    "model.norm=batch",
    "model.dropout=0.3",
    "dataset.image_size=12",
    "dataset.augment.mixup=0.4",
    "trainer.epochs=3",
    "trainer.replicas=4",
    "trainer.log_every=7",
    "callback.checkpoint.every_steps=5",
    "callback.tensorboard.graph=false",
    "callback.tensorboard.images=0",
]


def found(run: Path) -> dict[str, object]:
    return {name: value for name, value in fingerprint(run).items() if "config" not in name}


def saved(run: Path, after: float = 0.0) -> Callable[[], bool]:
    """What becomes true so many seconds after a run has its first checkpoint."""
    due: list[float] = []

    def is_time() -> bool:
        if not due and (run / "checkpoints" / "last.pt").exists():
            due.append(time.monotonic() + after)
        return bool(due) and time.monotonic() >= due[0]

    return is_time


def result(run: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run / "result.json").read_text())
    return read


def output(folder: Path) -> list[str]:
    return [line for line in (folder / "output.txt").read_text().splitlines() if line.startswith("dlrun:")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(start([*COMMAND, "hydra.run.dir=run"], folder, 1)) == [0], (folder / "output.txt").read_text()
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_end_with_the_bits_of_one(count: int, whole: Path, tmp_path: Path) -> None:
    statuses = ended(start([*COMMAND, "hydra.run.dir=run"], tmp_path, count, threads=2))
    assert statuses == [0] * count, (tmp_path / "output.txt").read_text()
    assert found(tmp_path / "run") == found(whole)
    assert result(tmp_path / "run")["metrics"] == result(whole)["metrics"]
    assert (tmp_path / "output.txt").read_text().count("best epoch") == 1, "the first process alone speaks"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_others_and_the_run_goes_on(victim: int, whole: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "hydra.run.dir=run"]
    children = start(command, tmp_path, 3)
    statuses, seconds = struck(children, victim, signal.SIGKILL, saved(tmp_path / "run"))
    assert statuses[victim] == -signal.SIGKILL
    assert seconds < 15
    if victim:
        assert statuses[0] == 1
        complaint = "dlrun: another process of this run has ended; the same command goes on from the last checkpoint"
        assert output(tmp_path) == [complaint]
    assert ended(start(command, tmp_path, 2)) == [0, 0], (tmp_path / "output.txt").read_text()
    assert found(tmp_path / "run") == found(whole)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_with_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "hydra.run.dir=run"]
    statuses, _ = struck(start(command, tmp_path, 2), 1, signal.SIGTERM, saved(tmp_path / "run"))
    assert statuses[0] == 128 + signal.SIGTERM
    assert result(tmp_path / "run")["status"] == "interrupted"
    assert ended(start(["train", "run=run"], tmp_path, 1)) == [0]
    assert found(tmp_path / "run") == found(whole)


@pytest.mark.slow
def test_a_divergence_is_told_once(tmp_path: Path) -> None:
    command = [*COMMAND, "optimizer=sgd", "optimizer.lr=1e30", "hydra.run.dir=run"]
    statuses = ended(start(command, tmp_path, 2))
    assert statuses[0] == 1
    (line,) = output(tmp_path)
    assert "train/loss is" in line
    assert "try a smaller optimizer.lr" in line


@pytest.mark.slow
def test_without_replicas_the_loss_is_that_of_one_process_to_rounding(tmp_path: Path) -> None:
    plain = [text for text in COMMAND if "replicas" not in text and "dropout" not in text]
    plain[plain.index("model.norm=batch")] = "model.norm=none"
    rows = []
    for count in (1, 2, 3):
        assert ended(start([*plain, f"hydra.run.dir={count}"], tmp_path, count)) == [0] * count
        lines = (tmp_path / f"{count}" / "metrics.csv").read_text().splitlines()
        rows.append([[float(cell) for cell in line.split(",")] for line in lines[1:]])
    for other in rows[1:]:
        for one, row in zip(other, rows[0], strict=True):
            assert one == pytest.approx(row, rel=1e-3)
    assert rows[0] != rows[1], "rounding tells them apart"


@pytest.mark.slow
def test_synchronized_batch_norm_is_that_of_one_process_to_rounding(tmp_path: Path) -> None:
    plain = [text for text in COMMAND if "replicas" not in text and "dropout" not in text]
    losses: list[list[float]] = []
    for count, more in ((1, []), (2, ["trainer.sync_batch_norm=true"]), (2, [])):
        name = f"run{len(losses)}"
        short = [*plain, *more, "trainer.steps=8", "trainer.log_every=1", f"hydra.run.dir={name}"]
        assert ended(start(short, tmp_path, count)) == [0] * count, (tmp_path / "output.txt").read_text()
        points: Any = found(tmp_path / name)["scalar step/loss"]
        losses.append([value for _, value in points])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[2] != pytest.approx(losses[0], rel=1e-3), "each part by its own statistics is another training"


@pytest.mark.slow
def test_evaluate_and_attack_count_every_example_once(whole: Path, tmp_path: Path) -> None:
    for verb, more in (("evaluate", []), ("attack", ["attack=pgd", "attack.steps=3", "check=0", "limit=60"])):
        for count in (1, 2):
            command = [verb, f"run={whole}", *more, f"hydra.run.dir={verb}{count}"]
            assert ended(start(command, tmp_path, count)) == [0] * count, (tmp_path / "output.txt").read_text()
        one, two = (result(tmp_path / f"{verb}{count}") for count in (1, 2))
        assert one["metrics"] == two["metrics"]
        assert one["examples"] == two["examples"]
    table = [(tmp_path / f"attack{count}" / "examples.csv").read_bytes() for count in (1, 2)]
    assert table[0] == table[1]
    queries = [result(tmp_path / f"attack{count}")["curve"][0]["queries"] for count in (1, 2)]
    assert queries[0] == queries[1] > 0


@pytest.mark.slow
def test_what_only_the_data_says_is_known_to_all(tmp_path: Path) -> None:
    for number in range(40):
        split, name = ("train", "test")[number % 4 == 3], ("left", "right")[number % 2]
        (folder := tmp_path / "images" / split / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12), 5 * number).save(folder / f"{number}.png")
    command = [*COMMAND, "dataset=image_folder", "dataset.root=images", "dataset.channels=1", "trainer.steps=2"]
    command += ["dataset.image_size=12", "dataset.batch_size=8", "trainer.epochs=1", "hydra.run.dir=run"]
    assert ended(start(command, tmp_path, 2)) == [0, 0], (tmp_path / "output.txt").read_text()
    assert result(tmp_path / "run")["classes"] == ["left", "right"]


@pytest.mark.slow
def test_the_launcher_starts_them(dlrun: Dlrun, whole: Path) -> None:
    ended = dlrun(*COMMAND, "trainer.devices=2", "hydra.run.dir=run")
    assert ended.status == 0
    assert found(Path("run")) == found(whole)
    wrong = dlrun(*COMMAND, "trainer.devices=2", "dataset.batch_size=0", "hydra.run.dir=other")
    assert wrong.status == 2
    assert not Path("other").exists()


def test_a_process_that_falls_silent_before_the_group_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    store = HashStore()
    watch = processes.Watch(store, range(1, 4))  # of which 3 has not come yet
    for now in range(60):
        store.set("alive/1", f"{now}")
        store.set("alive/2", "busy")
        assert not watch.look()
    now += processes.SILENCE
    assert not watch.look()
    now += 1
    with pytest.raises(LostError):
        watch.look()


def test_a_group_that_does_not_come_about_is_a_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    processes._within(10.0, lambda: met.append(1))
    assert met == [1]

    def refused() -> None:
        raise RuntimeError("connection refused")

    def wrong() -> None:
        raise ValueError("no such backend")

    with pytest.raises(ValueError, match="no such backend"):
        processes._within(10.0, wrong)
    never = threading.Event()
    for seconds, connect in ((10.0, refused), (0.1, never.wait)):
        with pytest.raises(LostError):
            processes._within(seconds, connect)
    never.set()


def test_a_process_knows_whether_it_is_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    assert (member.is_member(), member.is_hand()) == (False, False)
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert (member.is_member(), member.is_hand()) == (True, False)
    monkeypatch.setenv("RANK", "1")
    assert (member.is_member(), member.is_hand()) == (True, True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert (member.is_member(), member.is_hand()) == (False, False)
