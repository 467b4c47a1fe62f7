"""How fast dlrun trains, and in how much memory: LeNet on the 60,000 training images of MNIST.

Batches of 128, SGD (learning rate 0.05, momentum 0.9), fp32, on the GPU if there is one. The claims:

- an epoch of dlrun, with all its callbacks and what they do at the epoch's end, takes at most 1.10 times as long as
  the *floor*: a loop written by hand over normalised floats that lie in memory on the device, and nothing else;
- it takes at most 0.45 times as long as the *usual* loop over a torchvision dataset with transforms and a DataLoader
  (the better of 0 and 2 worker processes), and as *Lightning's* Trainer with the same loader;
- the peak memory of a run of dlrun is at most 1.3 times that of a script with the floor's loop; the same on the GPU.

All subjects take turns in one process. The seconds of a subject are the median of its epochs after the first, and of
these the median over the repeats. Memory is measured first, each subject in a process of its own.

    python -m benchmarks.train_mnist [--epochs 4] [--repeats 3]

MNIST is looked for in ``$DLRUN_DATA`` or ``data``, and downloaded if it is not there. Lightning comes with the extra
``bench``; without it its row is left out. The exit status is 1 if a claim is not met.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun import cli
from dlrun.callback.callback import Callback
from dlrun.model.lenet import LeNet

if TYPE_CHECKING:
    from dlrun.trainer import Trainer

BATCH, RATE, MOMENTUM = 128, 0.05, 0.9
MEAN, STD = 0.1307, 0.3081
IMAGES = 60_000
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FLOOR_CLAIM, PEER_CLAIM, MEMORY_CLAIM = 1.10, 0.45, 1.3
STAMPS = "stamps.json"

Subject = Callable[[int], list[float]]
"""Trains for so many epochs; returns the times at which each began, and the time at which the last ended."""


def now() -> float:
    """The time in seconds, once the device has done all its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def mnist(transform: Callable[[Any], Tensor] | None = None) -> Any:
    """The training images as torchvision gives them."""
    from torchvision.datasets import MNIST

    return MNIST(os.environ.get("DLRUN_DATA", "data"), train=True, transform=transform, download=True)


def lenet() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A new model and its optimizer."""
    model = LeNet(channels=1, image_size=28, num_classes=10).to(DEVICE)
    return model, torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)


def floor(epochs: int) -> list[float]:
    """The least that a training does."""
    data = mnist()
    images = data.data.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD).to(DEVICE)
    targets = data.targets.to(DEVICE)
    model, optimizer = lenet()
    stamps = [now()]
    for _ in range(epochs):
        for indices in torch.randperm(len(images), device=DEVICE).split(BATCH):
            loss = F.cross_entropy(model(images[indices]), targets[indices])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        stamps.append(now())
    return stamps


def dlrun(epochs: int) -> list[float]:
    """``dlrun train`` as its command line runs it, into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "model": "lenet",
            "dataset": "mnist",
            "dataset.batch_size": BATCH,
            "dataset.val_fraction": 0,
            "optimizer": "sgd",
            "optimizer.lr": RATE,
            "optimizer.momentum": MOMENTUM,
            "scheduler": "constant",
            "trainer.epochs": epochs,
            "trainer.device": DEVICE.type,
            "+callback.clock._target_": "benchmarks.train_mnist.Clock",
            "hydra.run.dir": folder,
        }
        cli.run_verb("train", [f"{key}={value}" for key, value in overrides.items()])
        stamps: list[float] = json.loads((Path(folder) / STAMPS).read_text())
    return stamps


class Clock(Callback):
    """Writes the times of a run's epochs into its folder; as the last callback it times all others too."""

    def __init__(self) -> None:
        self._stamps: list[float] = []

    def on_epoch_start(self, trainer: Trainer) -> None:
        """An epoch begins, and the one before it has ended."""
        self._stamps.append(now())

    def on_fit_end(self, trainer: Trainer) -> None:
        """The last epoch has ended."""
        (trainer.folder / STAMPS).write_text(json.dumps([*self._stamps, now()]))


def loader(workers: int) -> Any:
    """MNIST behind transforms and a DataLoader, as tutorials have it."""
    from torchvision import transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    return torch.utils.data.DataLoader(
        mnist(transform),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=DEVICE.type == "cuda",
    )


def usual(epochs: int, workers: int) -> list[float]:
    """The floor's loop over a DataLoader."""
    batches = loader(workers)
    model, optimizer = lenet()
    stamps = [now()]
    for _ in range(epochs):
        for images, targets in batches:
            logits = model(images.to(DEVICE, non_blocking=True))
            loss = F.cross_entropy(logits, targets.to(DEVICE, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        stamps.append(now())
    return stamps


def lightning(epochs: int, workers: int) -> list[float]:
    """Lightning's Trainer with its own defaults, without bars."""
    pl: Any = importlib.import_module("lightning.pytorch")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

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
    clock = pl.callbacks.LambdaCallback(
        on_train_epoch_start=lambda *_: stamps.append(now()), on_fit_end=lambda *_: stamps.append(now())
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
            devices=1,
            max_epochs=epochs,
            default_root_dir=folder,
            callbacks=[clock],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(Module(), loader(workers))
    return stamps


def epoch_seconds(epochs: int, repeats: int) -> dict[str, float]:
    """The seconds per epoch of every subject."""
    samples: dict[str, list[float]] = {}

    def measure(name: str, subject: Subject) -> float:
        stamps = subject(epochs)
        seconds = median(end - start for start, end in list(pairwise(stamps))[1:])
        samples.setdefault(name, []).append(seconds)
        return seconds

    best = 0
    for _ in range(repeats):
        measure("floor", floor)
        measure("dlrun", dlrun)
        times = {workers: measure(f"usual, {workers} workers", lambda n, w=workers: usual(n, w)) for workers in (0, 2)}
        best = min(times, key=lambda workers: times[workers])
        if importlib.util.find_spec("lightning"):
            measure("lightning", lambda n, w=best: lightning(n, w))
    return {name: median(seconds) for name, seconds in samples.items()}
