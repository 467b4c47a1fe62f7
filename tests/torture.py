"""Kill a training again and again, continue it each time, and compare its end with that of an undisturbed one.

    python -m tests.torture memory|stream KILLS [SIGKILL|SIGTERM]
    python -m tests.torture basic|joblib KILLS [SIGKILL|SIGTERM]

The second form kills a sweep of nine jobs during its fourth (KILLS times, each time a new sweep). Prints the number of
kills that met a run at work, and exits with 1 if anything differs: the hash of the final weights, ``metrics.csv``, or
the points of the TensorBoard curves; of a sweep its table, or any file of the jobs that had ended.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import dlrun.command.train
import dlrun.dataset.digits
import dlrun.task.classification  # noqa: F401
from dlrun import cli
from dlrun.logger.tensorboard import ENTRIES
from tests.conftest import DRAWING

COMMAND = [
    "train",
    "model=cnn",
    "model.widths=[8,8]",
    "model.dropout=0.3",
    "dataset.image_size=12",
    "dataset.augment={crop: 1, flip: 0.5, rotate: 5, translate: 0.1, scale: 0.1, erase: 0.3, mixup: 0.4, cutmix: 1}",
    "optimizer=adam",
    "trainer.ema=0.95",
    "trainer.log_every=7",
    "callback.checkpoint.every_steps=5",
    "callback.tensorboard.images=0",
    "callback.tensorboard.graph=false",
]
PATHS = {"memory": [], "stream": ["dataset.memory_budget=0", "dataset.workers=2"]}
TIMED = "step/images_per_second"


def attempt(
    arguments: list[str],
    folder: Path,
    moment: float | Callable[[], bool] | None,
    signum: int,
    whole_group: bool = True,
) -> int:
    """Run a command line in a child, and send it a signal; its exit status, negative if killed.

    Args:
        arguments: of the command line.
        folder: to run it in.
        moment: seconds from the start, or what becomes true when it is time; None for no signal.
        signum: the signal.
        whole_group: kill its workers with it.
    """
    child = os.fork()
    if child == 0:
        os.setsid()  # so that its workers can be killed with it
        os.chdir(folder)
        sys.argv = ["dlrun", *arguments]
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = 1
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    send = os.killpg if signum == signal.SIGKILL and whole_group else os.kill
    ended = threading.Event()

    def watch() -> None:
        if isinstance(moment, float):
            ended.wait(moment)
        while callable(moment) and not moment() and not ended.wait(0.01):
            pass
        if not ended.is_set():
            send(child, signum)

    watcher = threading.Thread(target=watch)
    if moment is not None:
        watcher.start()
    _, wait_status = os.waitpid(child, 0)
    ended.set()
    if moment is not None:
        watcher.join()
    return os.waitstatus_to_exitcode(wait_status)


def fingerprint(run: Path) -> dict[str, object]:
    """What two runs must have in common."""
    weights = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights.values())).hexdigest()
    return {"weights": digest, "metrics.csv": (run / "metrics.csv").read_text(), **points(run)}


def points(run: Path) -> dict[str, object]:
    """Every point of a run's TensorBoard page, by kind and tag, in all its entries."""
    entries = {split: points_of(run / place) for split, place in ENTRIES.items() if (run / place).is_dir()}
    return {**points_of(run), **{f"{split}: {tag}": all for split, one in entries.items() for tag, all in one.items()}}


def points_of(run: Path) -> dict[str, object]:
    """The points of one entry; NaN as a word, for it is not its own equal; of times only that they are there."""
    found = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    scalars = {
        f"scalar {tag}": [(event.step, None if tag == TIMED else number(event.value)) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }
    images = {
        f"image {tag}": [(event.step, event.encoded_image_string) for event in found.Images(tag)]
        for tag in found.Tags()["images"]
    }
    tensors = {
        f"tensor {tag}": [(event.step, event.tensor_proto.SerializeToString()) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }
    return {**scalars, **images, **tensors}


def number(value: float) -> float | str:
    """A value that equals itself."""
    return "nan" if math.isnan(value) else value


def written(file: Path, times: int, delay: float) -> Callable[[], bool]:
    """What becomes true when a file has been written so many times, and a delay in seconds has passed since.

    So a run is met at its work, however fast the machine is.
    """
    seen = file.stat().st_mtime_ns if file.exists() else 0
    due = math.inf

    def is_time() -> bool:
        nonlocal seen, due, times
        stamp = file.stat().st_mtime_ns if file.exists() else seen
        times -= stamp != seen
        seen = stamp
        if times <= 0:
            due = min(due, time.monotonic() + delay)
        return time.monotonic() >= due

    return is_time


def torture(path: str, kills: int, signum: int, folder: Path, seed: int = 0) -> tuple[int, list[str]]:
    """How many kills met a run at work, and what differs in the end."""
    command = [*COMMAND, *PATHS[path], f"trainer.epochs={8 + 3 * kills}"]
    rng = random.Random(seed)
    assert attempt([*command, "hydra.run.dir=whole"], folder, None, signum) == 0, (folder / "output.txt").read_text()
    met = attempts = 0
    while True:
        moment: float | Callable[[], bool] | None = None
        if met < kills and attempts % 5 == 4:
            moment = rng.uniform(0.2, 0.8)  # in the start
        elif met < kills:
            moment = written(folder / "killed" / "checkpoints" / "last.pt", rng.randint(1, 8), rng.uniform(0, 0.05))
        again = ["train", "run=killed"] if attempts % 2 and (folder / "killed" / "config.yaml").exists() else command
        status = attempt([*again, "hydra.run.dir=killed"] if again is command else again, folder, moment, signum)
        attempts += 1
        if status == 0:
            break
        expected = (-signal.SIGKILL,) if signum == signal.SIGKILL else (128 + signum, -signum)
        assert status in expected, f"status {status}: {(folder / 'output.txt').read_text()[-3000:]}"
        met += (folder / "killed" / "checkpoints" / "last.pt").exists()
    whole, killed = fingerprint(folder / "whole"), fingerprint(folder / "killed")
    return met, [name for name in whole.keys() | killed.keys() if whole.get(name) != killed.get(name)]


def torture_sweep(launcher: str, signum: int, folder: Path) -> list[str]:
    """What differs between a sweep that was killed during its fourth job and an undisturbed one."""
    grid = ["-m", "optimizer.lr=0.01,0.001,0.0001", "seed=0,1,2", f"hydra/launcher={launcher}"]
    command = ["train", *DRAWING, "trainer.epochs=6", "callback.checkpoint.every_steps=20", *grid]
    output = folder / "output.txt"
    assert attempt([*command, "hydra.sweep.dir=whole"], folder, None, signum) == 0, output.read_text()
    again = [*command, "hydra.sweep.dir=killed"]
    sweep = folder / "killed"

    def ended() -> set[Path]:
        results = {file.parent: json.loads(file.read_text()) for file in sweep.glob("*/result.json")}
        return {job for job, result in results.items() if result["status"] != "running"}

    def in_the_fourth() -> bool:
        jobs = {file.parent.parent for file in sweep.glob("*/checkpoints/last.pt")}
        return len(ended()) >= 3 and bool(jobs - ended())

    status = attempt(again, folder, in_the_fourth, signum, whole_group=launcher == "basic")
    assert status in (-signum, 128 + signum), output.read_text()[-3000:]
    before = {
        file: (file.stat().st_mtime_ns, file.read_bytes())
        for job in ended()
        if json.loads((job / "result.json").read_text())["status"] == "completed"
        for file in job.rglob("*")
        if file.is_file()
    }
    assert len({file.relative_to(sweep).parts[0] for file in before}) >= 3
    assert attempt(again, folder, None, signum) == 0, output.read_text()[-3000:]
    different = [str(file) for file, old in before.items() if (file.stat().st_mtime_ns, file.read_bytes()) != old]
    tables = []
    for name in ("whole", "killed"):
        with (folder / name / "sweep.csv").open() as stream:
            tables.append([{**row, "seconds": ""} for row in csv.DictReader(stream)])
    assert len(tables[0]) == 9
    return different + (["sweep.csv"] if tables[0] != tables[1] else [])


def main() -> int:
    """Torture one data path or launcher; the exit status."""
    path, kills = sys.argv[1], int(sys.argv[2])
    signum = signal.Signals[sys.argv[3]] if len(sys.argv) > 3 else signal.SIGKILL
    different: list[str] = []
    if path in PATHS:
        with tempfile.TemporaryDirectory() as folder:
            met, different = torture(path, kills, signum, Path(folder))
    else:
        met = kills
        for _ in range(kills):
            with tempfile.TemporaryDirectory() as folder:
                different += torture_sweep(path, signum, Path(folder))
    print(f"{path}: {met} times {signum.name}; {'differs: ' + ', '.join(different) if different else 'identical'}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
