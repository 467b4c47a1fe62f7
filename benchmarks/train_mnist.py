"""How fast dlrun trains, and in how much memory: LeNet on the 60,000 training images of MNIST.

Batches of 128, SGD (learning rate 0.05, momentum 0.9), fp32, on the GPU if there is one. The claims:

- an epoch of dlrun, with all its callbacks and what they do at its end, takes at most 1.05 times as long as the
  *floor*: a loop written by hand over normalised floats that lie in memory on the device, and nothing else;
- it takes at most 0.45 times as long as the *usual* loop over a torchvision dataset with transforms and a DataLoader
  (the better of 0 and 2 worker processes), and as *Lightning's* Trainer with the same loader;
- the peak memory of a run of dlrun is at most 1.3 times that of a script with the floor's loop; the same on the GPU.

All subjects take turns in one process. The seconds of a subject are the least of all its epochs but the first of each
turn: other work on the machine only adds to them. Memory is measured first, each subject in a process of its own.

    python -m benchmarks.train_mnist [--epochs 4] [--repeats 3]

MNIST is looked for in ``$DLRUN_DATA`` or ``data``, and downloaded if it is not there. Lightning comes with the extra
``bench``; without it its row is left out. The exit status is 1 if a claim is not met. The machine must be idle:
threads that wait for each other on busy cores take ten times as long.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun import cli
from dlrun.callback.callback import Callback
from dlrun.model.lenet import LeNet

IMAGES, BATCH, RATE, MOMENTUM, MEAN, STD = 60_000, 128, 0.05, 0.9, 0.1307, 0.3081
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLAIMS = {"floor": 1.05, "usual": 0.45, "lightning": 0.45, "memory": 1.3}


def now() -> float:
    """The time in seconds, once the device has done all its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def mnist(**options: Any) -> Any:
    from torchvision.datasets import MNIST

    return MNIST(os.environ.get("DLRUN_DATA", "data"), train=True, download=True, **options)


def loader(workers: int) -> Any:
    """The DataLoader that tutorials have."""
    from torchvision.transforms import Compose, Normalize, ToTensor

    return torch.utils.data.DataLoader(
        mnist(transform=Compose([ToTensor(), Normalize((MEAN,), (STD,))])),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=DEVICE.type == "cuda",
    )


def lenet() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = LeNet(channels=1, image_size=28, num_classes=10).to(DEVICE)
    return model, torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)


def loop(epochs: int, batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> list[float]:
    """The loop written by hand. As of every subject: the times at which each epoch began and the last one ended."""
    model, optimizer = lenet()
    stamps = [now()]
    for _ in range(epochs):
        for images, targets in batches():
            images, targets = images.to(DEVICE, non_blocking=True), targets.to(DEVICE, non_blocking=True)
            loss = F.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        stamps.append(now())
    return stamps


def floor(epochs: int) -> list[float]:
    data = mnist()
    images = data.data.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD).to(DEVICE)
    targets = data.targets.to(DEVICE)

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        order = torch.randperm(IMAGES, device=DEVICE)
        return ((images[indices], targets[indices]) for indices in torch.split(order, BATCH))

    return loop(epochs, batches)


def usual(epochs: int, workers: int) -> list[float]:
    batches = loader(workers)
    return loop(epochs, lambda: batches)


def lightning(epochs: int, workers: int) -> list[float]:
    """Lightning as it comes, with its TensorBoard log and its checkpoints, but no bar."""
    pl: Any = importlib.import_module("lightning.pytorch")

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.optimizer = lenet()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            loss = F.cross_entropy(self.model(batch[0]), batch[1])
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimizer

    stamps: list[float] = []
    options = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    clock = pl.callbacks.LambdaCallback(
        on_train_epoch_start=lambda *_: stamps.append(now()), on_fit_end=lambda *_: stamps.append(now())
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        pl.Trainer(
            accelerator=DEVICE.type, devices=1, max_epochs=epochs, default_root_dir=folder, callbacks=[clock], **options
        ).fit(Module(), loader(workers))
    return stamps


class Clock(Callback):
    """Notes when each of a run's epochs begins, in its folder. The last of the callbacks, so it times all of them."""

    def on_epoch_start(self, trainer: Any) -> None:
        """An epoch begins: the one before it has ended, with its checkpoint."""
        with (trainer.folder / "times").open("a") as file:
            print(now(), file=file)


def dlrun(epochs: int) -> list[float]:
    """``dlrun train`` as the command line runs it, with one callback more."""
    overrides = f"model=lenet dataset=mnist dataset.batch_size={BATCH} dataset.val_fraction=0 scheduler=constant"
    overrides += f" optimizer=sgd optimizer.lr={RATE} optimizer.momentum={MOMENTUM} trainer.device={DEVICE.type}"
    overrides += f" trainer.epochs={epochs} +callback.clock._target_=benchmarks.train_mnist.Clock"
    with tempfile.TemporaryDirectory() as folder:
        cli.run_verb("train", [*overrides.split(), f"hydra.run.dir={folder}"])
        return [float(line) for line in (Path(folder) / "times").read_text().splitlines()]


def epoch_seconds(epochs: int, repeats: int) -> dict[str, float]:
    """The seconds of an epoch of every subject."""
    samples: dict[str, list[float]] = {}

    def measure(name: str, subject: Callable[[int], list[float]]) -> float:
        seconds = min(end - start for start, end in list(pairwise(subject(epochs)))[1:])
        samples.setdefault(name, []).append(seconds)
        return seconds

    for _ in range(repeats):
        measure("dlrun", dlrun)
        measure("floor", floor)
        times = {workers: measure(f"usual, {workers} workers", partial(usual, workers=workers)) for workers in (0, 2)}
        if importlib.util.find_spec("lightning"):
            measure("lightning", partial(lightning, workers=min(times, key=times.__getitem__)))
    seconds = {name: min(values) for name, values in samples.items()}
    seconds["usual"] = min(seconds[f"usual, {workers} workers"] for workers in (0, 2))
    return seconds


def peak_memory(name: str) -> dict[str, int]:
    """The peak memory in MiB of a training of two epochs in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_mnist", "--only", name]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peaks: dict[str, int] = json.loads(output.splitlines()[-1])
    return peaks


def main() -> int:
    """Measure and print all; the exit status."""
    parser = argparse.ArgumentParser(description="Speed and memory of dlrun on MNIST, against its peers.")
    parser.add_argument(
        "--epochs",
        type=int,
        default=4,
        help="of each training, 3 or more; the first is not counted, nor is the last of dlrun's",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["floor", "dlrun"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # as dlrun has it
    if options.only:
        {"floor": floor, "dlrun": dlrun}[options.only](2)
        peaks = {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}  # Linux counts in KiB
        if DEVICE.type == "cuda":
            peaks["GPU memory"] = torch.cuda.max_memory_allocated() >> 20
        print(json.dumps(peaks))
        return 0

    # Memory first, while this process is small: Linux counts a parent's memory into the peak of its child.
    own, script = peak_memory("dlrun"), peak_memory("floor")
    seconds = epoch_seconds(options.epochs, options.repeats)
    table = Table("subject", "figure", "images/s", "dlrun / subject", "claim", "")
    rows = [
        (f"epoch, {name}", f"{value:.2f} s", f"{IMAGES / value:,.0f}", seconds["dlrun"] / value, name)
        for name, value in seconds.items()
    ]
    for kind, peak in script.items():
        rows.append((f"{kind}, dlrun", f"{own[kind]:,} MiB", "", 1.0, ""))
        rows.append((f"{kind}, floor", f"{peak:,} MiB", "", own[kind] / peak, "memory"))
    for subject, figure, speed, ratio, claim in rows:
        limit = CLAIMS.get(claim, math.inf)
        outcome = [f"<= {limit:.2f}", "met" if ratio <= limit else "NOT MET"] if claim in CLAIMS else []
        table.add_row(subject, figure, speed, f"{ratio:.2f}", *outcome)
    Console().print(table)
    if "lightning" not in seconds:
        print("no row for Lightning: it is not installed (pip install 'dlrun[bench]')")
    return int(any(ratio > CLAIMS.get(claim, math.inf) for *_, ratio, claim in rows))


if __name__ == "__main__":
    sys.exit(main())
