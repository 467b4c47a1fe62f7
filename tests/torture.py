"""Kill a training again and again, continue it each time, and compare its end with that of an undisturbed one.

    python -m tests.torture memory|stream KILLS [SIGKILL|SIGTERM]

Prints the number of kills that met a run at work, and exits with 1 if anything differs: the hash of the final weights,
``metrics.csv``, or the points of the TensorBoard curves.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import dlrun.command.train
import dlrun.dataset.digits
import dlrun.task.classification  # noqa: F401
from dlrun import cli

COMMAND = [
    "train",
    "model=cnn",
    "model.widths=[8,8]",
    "model.dropout=0.3",
    "dataset.image_size=12",
    "dataset.augment={crop: 1, flip: 0.5, rotate: 5, translate: 0.1, scale: 0.1, erase: 0.3, mixup: 0.4, cutmix: 1}",
    "optimizer=adam",
    "trainer.ema=0.95",
    "trainer.epochs=8",
    "trainer.log_every=7",
    "callback.checkpoint.every_steps=5",
    "callback.tensorboard.images=0",
    "callback.tensorboard.graph=false",
]
PATHS = {"memory": [], "stream": ["dataset.memory_budget=0", "dataset.workers=2"]}
TIMED = "step/images_per_second"


def attempt(arguments: list[str], folder: Path, seconds: float | None, signum: int) -> int:
    """Run a command line in a child, and send it a signal after some time; its exit status, negative if killed."""
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
        finally:
            os._exit(status)
    send = os.killpg if signum == signal.SIGKILL else os.kill
    timer = threading.Timer(seconds or 0, send, (child, signum))
    if seconds is not None:
        timer.start()
    _, wait_status = os.waitpid(child, 0)
    timer.cancel()
    return os.waitstatus_to_exitcode(wait_status)


def fingerprint(run: Path) -> dict[str, object]:
    """What two runs must have in common."""
    weights = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights.values())).hexdigest()
    found = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    curves = {
        tag: [(event.step, None if tag == TIMED else event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }
    return {"weights": digest, "metrics.csv": (run / "metrics.csv").read_text(), **curves}


def torture(path: str, kills: int, signum: int, folder: Path, seed: int = 0) -> tuple[int, list[str]]:
    """How many kills met a run at work, and what differs in the end."""
    command = [*COMMAND, *PATHS[path]]
    rng = random.Random(seed)
    assert attempt([*command, "hydra.run.dir=whole"], folder, None, signum) == 0, (folder / "output.txt").read_text()
    met = attempts = 0
    last_kill = False
    while True:
        # Long enough to get past the start, whatever the machine's mood; at last, long enough for all of it.
        seconds = None if met >= kills else rng.uniform(0.2, 2.5) * (1 + attempts // (2 * kills))
        again = ["train", "run=killed"] if attempts % 2 and (folder / "killed" / "config.yaml").exists() else command
        status = attempt([*again, "hydra.run.dir=killed"] if again is command else again, folder, seconds, signum)
        attempts += 1
        if status == 0:
            if met >= kills or last_kill:
                break
            last_kill = True  # it finished too early: continue with a longer run
            command = [*command, "trainer.epochs=16"]
            assert attempt([*command, "hydra.run.dir=whole"], folder, None, signum) == 0
            continue
        expected = (-signal.SIGKILL,) if signum == signal.SIGKILL else (128 + signum, -signum)
        assert status in expected, f"status {status}: {(folder / 'output.txt').read_text()[-3000:]}"
        met += (folder / "killed" / "checkpoints" / "last.pt").exists()
    whole, killed = fingerprint(folder / "whole"), fingerprint(folder / "killed")
    return met, [name for name in whole.keys() | killed.keys() if whole.get(name) != killed.get(name)]


def main() -> int:
    """Torture one data path; the exit status."""
    path, kills = sys.argv[1], int(sys.argv[2])
    signum = signal.Signals[sys.argv[3]] if len(sys.argv) > 3 else signal.SIGKILL
    with tempfile.TemporaryDirectory() as folder:
        met, different = torture(path, kills, signum, Path(folder))
    print(f"{path}: {met} times {signum.name}; {'differs: ' + ', '.join(different) if different else 'identical'}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
