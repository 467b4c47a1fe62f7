"""What two processes cost against one, and what replicas cost: a training on random pictures, on the CPU.

Each subject is a process, or two, of its own, with two threads in all, and trains LeNet (batches of 128, 28 pixels) or
ResNet18 (batches of 64, 32 pixels) on the same pictures. The claim: a step of two processes of dlrun takes at most 1.05
times as long as that of two processes with a loop written by hand around DistributedDataParallel, as in torch's
tutorial. Beside it, without a claim, are one process of two threads, and ``trainer.replicas=2`` and ``4`` in one and in
two processes.

    python -m benchmarks.data_parallel [--steps 60] [--repeats 3] [lenet] [resnet18]

The subjects take turns; the seconds of a step are the median over its steps, the first ten left out, and of these the
median over the repeats. The exit status is 1 if the claim is not met. The machine must have two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.callback.callback import Callback
from dlrun.dataset.source import Splits, labelled

CLAIM, WARMUP = 1.05, 10
KINDS = {"lenet": (128, 1, 28), "resnet18": (64, 3, 32)}
"""Batch size, channels and side of the pictures."""
SUBJECTS = {
    "one process": (1, []),
    "two processes": (2, []),
    "replicas=2, one process": (1, ["trainer.replicas=2"]),
    "replicas=2, two processes": (2, ["trainer.replicas=2"]),
    "replicas=4, one process": (1, ["trainer.replicas=4"]),
    "replicas=4, two processes": (2, ["trainer.replicas=4"]),
}
"""Of dlrun: processes, and overrides."""


def pictures(channels: int, size: int, count: int = 2560) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


def source(channels: int, image_size: int) -> Splits:
    """The pictures as a dataset."""
    train, test = (labelled(*pictures(channels, image_size, count)) for count in (2560, 64))
    return Splits(train, test, [str(number) for number in range(10)])


class Clock(Callback):
    """Writes the time after every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, trainer: Any) -> None:
        """Note it."""
        self.times.append(time.perf_counter())

    def on_test_end(self, trainer: Any, metrics: Any, scores: Any) -> None:
        """Write all."""
        (trainer.folder / "times.json").write_text(json.dumps(self.times))


def network(kind: str) -> nn.Module:
    from torchvision.models import resnet18

    from dlrun.model.lenet import LeNet

    if kind == "lenet":
        return LeNet(channels=1, image_size=28, num_classes=10)
    net: nn.Module = resnet18(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()  # as dlrun has it at 32 pixels
    return net


def loop(kind: str, steps: int, folder: Path) -> None:
    """The loop of torch's tutorial, in one of the processes that torchrun has started."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DistributedSampler

    dist.init_process_group("gloo")
    batch, channels, size = KINDS[kind]
    data, targets = pictures(channels, size)
    images = data.float().div_(255)
    model = DistributedDataParallel(network(kind))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    sampler: DistributedSampler[int] = DistributedSampler(range(len(images)))  # type: ignore[arg-type]
    times: list[float] = []
    while len(times) < steps:
        sampler.set_epoch(len(times))
        for places in torch.split(torch.tensor(list(sampler)), batch // dist.get_world_size()):
            loss = F.cross_entropy(model(images[places]), targets[places])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            times.append(time.perf_counter())
    if dist.get_rank() == 0:
        (folder / "times.json").write_text(json.dumps(times[:steps]))
    dist.destroy_process_group()


def measured(command: list[str], count: int, folder: Path) -> float:
    """The seconds of a step of a command in so many processes."""
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone"] if count > 1 else []
    threads = {"OMP_NUM_THREADS": str(2 // count)}
    output = subprocess.run(
        [sys.executable, *torchrun, "-m", *command], env={**os.environ, **threads}, capture_output=True, text=True
    )
    if output.returncode:
        raise SystemExit(output.stdout + output.stderr)
    times: list[float] = json.loads((folder / "times.json").read_text())
    return median(end - begin for begin, end in list(pairwise(times))[WARMUP:])


def by_dlrun(kind: str, steps: int, count: int, overrides: list[str]) -> float:
    batch, channels, size = KINDS[kind]
    data = {"channels": channels, "image_size": size, "batch_size": batch, "num_classes": 10, "val_fraction": 0.1}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *["dlrun", "train", f"model={kind}", "dataset.source._target_=benchmarks.data_parallel.source"],
            *[f"dataset.{key}={value}" for key, value in data.items()],
            f"+dataset.source.channels={channels}",
            *[f"trainer.steps={steps}", "optimizer=sgd", "optimizer.lr=0.01", "optimizer.momentum=0.9"],
            *["callback.tensorboard.graph=false", "callback.tensorboard.images=0", "callback.checkpoint=null"],
            *["+callback.clock._target_=benchmarks.data_parallel.Clock", f"hydra.run.dir={folder}", *overrides],
        ]
        return measured(command, count, Path(folder))


def by_hand(kind: str, steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--only", kind, "--steps", str(steps), "--folder", folder]
        return measured(["benchmarks.data_parallel", *options], 2, Path(folder))


def compared(kind: str, steps: int, repeats: int) -> bool:
    """Measure and print a network; whether the claim is met."""
    batch = KINDS[kind][0]
    subjects: dict[str, Callable[[], float]] = {"two processes, by hand": lambda: by_hand(kind, steps)}
    for name, (count, overrides) in SUBJECTS.items():
        subjects[name] = lambda count=count, overrides=overrides: by_dlrun(kind, steps, count, overrides)  # type: ignore[misc]
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, subject in subjects.items():
            samples[name].append(subject())
    seconds = {name: median(values) for name, values in samples.items()}
    table = Table("subject", "ms a step", "images/s", "/ by hand", "/ one process", title=kind)
    for name, value in seconds.items():
        ratios = [f"{value / seconds[other]:.2f}" for other in ("two processes, by hand", "one process")]
        table.add_row(name, f"{1000 * value:.1f}", f"{batch / value:,.0f}", *ratios)
    Console().print(table)
    ratio = seconds["two processes"] / seconds["two processes, by hand"]
    print(f"{kind}: {ratio:.2f} of the loop by hand, claim <= {CLAIM}: {'met' if ratio <= CLAIM else 'NOT MET'}")
    return ratio <= CLAIM


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description="Several processes, and replicas, against a loop written by hand.")
    parser.add_argument("kinds", nargs="*", default=[*KINDS])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        loop(options.only, options.steps, options.folder)
        return 0
    outcomes = [compared(kind, options.steps, options.repeats) for kind in options.kinds]
    return int(not all(outcomes))


if __name__ == "__main__":
    sys.exit(main())
