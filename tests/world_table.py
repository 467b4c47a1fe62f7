"""The same training on 1, 2 and 4 processes and threads, and killed and continued: is the end the same to the bit?

    python -m tests.world_table [--kills 10] [lenet] [resnet18]

Prints a row for each way, with the SHA-256 of the weights, of metrics.csv and of the TensorBoard events, and exits with
1 if one differs from the first, or if without replicas the loss of several processes is another than that of one (with
``trainer.sync_batch_norm`` where there is batch normalisation). The trainings are LeNet on MNIST, and a ResNet18 with
batch normalisation on CIFAR-10, both on few batches. A kill hits any one of the processes at a random moment, and the
run goes on with another number of them. Data is looked for in ``DLRUN_DATA``: ``MNIST``, and ``cifar10_images.tar.gz``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import dlrun.command.train  # noqa: F401  # so that the children of a fork need not import it
from tests.processes import ended, start, struck
from tests.resume_table import PROGRESS, count_hooks, reached
from tests.torture import points

QUIET = ["callback.tensorboard.graph=false", "callback.tensorboard.images=0", "callback.checkpoint.every_steps=3"]
LENET = "train model=lenet dataset=mnist dataset.batch_size=64 trainer.epochs=3 trainer.limit_batches=8"
RESNET = (
    "train model=resnet18 dataset=image_folder dataset.root=images dataset.image_size=32 dataset.batch_size=16"
    " dataset.augment.flip=0.5 dataset.augment.mixup=0.4 trainer.epochs=2 trainer.limit_batches=4"
)
TRAININGS = {"lenet": [*LENET.split(), *QUIET], "resnet18": [*RESNET.split(), *QUIET]}
WAYS = [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1)]
"""Processes, and threads of each."""
CLOSE = 1e-3
"""By how much of it a loss may differ where several processes divide a batch."""


def images(folder: Path, train: int = 10, test: int = 4) -> None:
    """A few of CIFAR-10's images of every class."""
    taken = Counter[str]()
    with tarfile.open(Path(os.environ["DLRUN_DATA"]) / "cifar10_images.tar.gz") as archive:
        for member in archive:
            where = member.name.rpartition("/")[0]
            if member.isfile() and taken[where] < (train if "/train/" in where else test):
                taken[where] += 1
                archive.extract(member, folder, filter="data")
    (folder / "cifar10_images").rename(folder / "images")


def digests(run: Path) -> dict[str, str]:
    """The SHA-256 of weights, metrics.csv and events; the events' text of the config, which says how many, left out."""
    weights = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
    events = sorted((name, value) for name, value in points(run).items() if "config" not in name)
    contents = {
        "weights": b"".join(value.numpy().tobytes() for value in weights.values()),
        "metrics.csv": (run / "metrics.csv").read_bytes(),
        "events": repr(events).encode(),
    }
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in contents.items()}


def losses(run: Path) -> list[float]:
    """The loss of every step."""
    found: Any = points(run)["scalar step/loss"]
    return [value for _, value in found]


def ran(command: list[str], folder: Path, count: int, threads: int = 1) -> None:
    """Run to the end in so many processes."""
    PROGRESS.value = 0
    statuses = ended(start(command, folder, count, threads))
    assert statuses == [0] * count, f"{statuses}: {(folder / 'output.txt').read_text()[-3000:]}"


def killed(command: list[str], folder: Path, kills: int, hooks: int, rng: random.Random) -> int:
    """Kill a process of a run again and again; how many kills met it at work."""
    met = 0
    for attempt in range(kills):
        count = (2, 4, 1, 3)[attempt % 4]
        PROGRESS.value = 0
        moment = reached(rng.uniform(0, 2 * hooks / kills), rng.uniform(0, 0.05))
        statuses, seconds = struck(
            start(command, folder, count, rng.choice((1, 2))), rng.randrange(count), signal.SIGKILL, moment
        )
        met += -signal.SIGKILL in statuses
        assert seconds < 15, f"the others ended after {seconds:.1f} s"
    ran(command, folder, 2)
    return met


def table(name: str, command: list[str], folder: Path, kills: int) -> int:
    """Print the rows of a training; how many of them are not as they should be."""
    rng, wrong = random.Random(0), 0
    replicated = [*command, "trainer.replicas=4"]
    first: dict[str, str] = {}
    hooks = 0
    for count, threads in [*WAYS, (0, 0)]:
        run = f"{name}-{count}-{threads}"
        way = f"{count} x {threads}"
        if count:
            ran([*replicated, f"hydra.run.dir={run}"], folder, count, threads)
        else:
            met = killed([*replicated, f"hydra.run.dir={run}"], folder, kills, hooks, rng)
            way = f"killed {met} times at work, in 1 to 4 processes"
        found = digests(folder / run)
        if not first:
            first, hooks = found, PROGRESS.value
        wrong += found != first
        end = "identical" if found == first else "DIFFERS"
        print(f"| {name} | replicas=4 | {way} | {' | '.join(found.values())} | {end} |", flush=True)
    whole: list[float] = []
    # At the usual rate rounding grows a thousandfold in a few steps of this network, on more threads of a process too.
    synced = ["trainer.sync_batch_norm=true", "optimizer.lr=0.0001"] if name == "resnet18" else []
    for count in (1, 2, 4):
        run = f"{name}-plain-{count}"
        ran([*command, *synced, "trainer.log_every=1", f"hydra.run.dir={run}"], folder, count)
        found_losses = losses(folder / run)
        whole = whole or found_losses
        apart = max(abs(one - other) / one for one, other in zip(whole, found_losses, strict=True))
        wrong += apart > CLOSE
        end = "to rounding" if apart <= CLOSE else "DIFFERS"
        way = " ".join(["no replicas", *synced])
        print(f"| {name} | {way} | {count} x 1 | loss of a step apart by {apart:.1e} at most | | | {end} |", flush=True)
    return wrong


def main() -> int:
    """Try the trainings named on the command line, or both; the exit status."""
    parser = argparse.ArgumentParser(description="The same bits on any number of processes and threads.")
    parser.add_argument("names", nargs="*", default=[*TRAININGS])
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    count_hooks()
    wrong = 0
    print(
        "| training | | processes x threads | weights | metrics.csv | events | |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "resnet18" in options.names:
            images(folder)
        for training in options.names:
            wrong += table(training, TRAININGS[training], folder, options.kills)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
