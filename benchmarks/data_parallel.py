"""What two processes cost against one, and what replicas cost: a training on random pictures, on the CPU.

Each subject is a process, or two, of its own, with two threads in all, and trains LeNet (batches of 128, 28 pixels) or
ResNet18 (batches of 64, 32 pixels) on the same pictures. The claim: a step of two processes of dlrun takes at most 1.05
times as long as that of two processes with a loop written by hand around DistributedDataParallel, as in torch's
tutorial. Beside it, without a claim, are one process of two threads, and ``trainer.replicas=2`` and ``4`` in one and in
two processes.

    python -m benchmarks.data_parallel [--steps 60] [--repeats 3] [lenet] [resnet18]

The subjects take turns; the seconds of a step are the median over its steps, the first ten left out, and of these the
median over the repeats. So are the bytes that go over the loopback in a step, of both processes together; the memory is
the most that the first process had. The exit status is 1 if the claim is not met. The machine must have two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

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


class Cost(NamedTuple):
    """Of a step: seconds, and bytes that all processes send; and the most memory of the first process, in MiB."""

    seconds: float
    sent: float
    memory: float


class Meter:
    """Notes the time, and the bytes that have gone over the loopback, after every step."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.sent: list[int] = []

    def note(self) -> None:
        """A step has ended."""
        loopback = re.search(r"lo:(.*)", Path("/proc/net/dev").read_text())
        self.sent.append(int(loopback[1].split()[8]) if loopback else 0)
        self.times.append(time.perf_counter())

    def write(self, folder: Path, steps: int) -> None:
        """The medians over these steps, without the first ones, and the memory."""
        seconds, sent = (median(b - a for a, b in pairwise(values[WARMUP:steps])) for values in (self.times, self.sent))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (folder / "cost.json").write_text(json.dumps(Cost(seconds, sent, memory)))


class Clock(Callback):
    """Measures a training of dlrun."""

    def __init__(self) -> None:
        self.meter = Meter()

    def on_step_end(self, trainer: Any) -> None:
        """Note it."""
        self.meter.note()

    def on_test_end(self, trainer: Any, metrics: Any, scores: Any) -> None:
        """Write all."""
        self.meter.write(trainer.folder, len(self.meter.times))


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
    meter = Meter()
    while len(meter.times) < steps:
        sampler.set_epoch(len(meter.times))
        for places in torch.split(torch.tensor(list(sampler)), batch // dist.get_world_size()):
            loss = F.cross_entropy(model(images[places]), targets[places])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            meter.note()
    if dist.get_rank() == 0:
        meter.write(folder, steps)
    dist.destroy_process_group()


def measured(command: list[str], count: int, folder: Path) -> Cost:
    """What a step of a command costs in so many processes."""
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone"] if count > 1 else []
    threads = {"OMP_NUM_THREADS": str(2 // count)}
    output = subprocess.run(
        [sys.executable, *torchrun, "-m", *command], env={**os.environ, **threads}, capture_output=True, text=True
    )
    if output.returncode:
        raise SystemExit(output.stdout + output.stderr)
    return Cost(*json.loads((folder / "cost.json").read_text()))


def by_dlrun(kind: str, steps: int, count: int, overrides: list[str]) -> Cost:
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


def by_hand(kind: str, steps: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--only", kind, "--steps", str(steps), "--folder", folder]
        return measured(["benchmarks.data_parallel", *options], 2, Path(folder))


def compared(kind: str, steps: int, repeats: int) -> bool:
    """Measure and print a network; whether the claim is met."""
    batch = KINDS[kind][0]
    subjects: dict[str, Callable[[], Cost]] = {"two processes, by hand": lambda: by_hand(kind, steps)}
    for name, (count, overrides) in SUBJECTS.items():
        subjects[name] = lambda count=count, overrides=overrides: by_dlrun(kind, steps, count, overrides)  # type: ignore[misc]
    samples: dict[str, list[Cost]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, subject in subjects.items():
            samples[name].append(subject())
    costs = {name: Cost(*map(median, zip(*values, strict=True))) for name, values in samples.items()}
    seconds = {name: cost.seconds for name, cost in costs.items()}
    table = Table("subject", "ms a step", "images/s", "/ by hand", "/ one process", "MB sent", "MiB", title=kind)
    for name, cost in costs.items():
        ratios = [f"{cost.seconds / seconds[other]:.2f}" for other in ("two processes, by hand", "one process")]
        rate, sent = f"{batch / cost.seconds:,.0f}", f"{cost.sent / 1e6:.2f}"
        table.add_row(name, f"{1000 * cost.seconds:.1f}", rate, *ratios, sent, f"{cost.memory:,.0f}")
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
