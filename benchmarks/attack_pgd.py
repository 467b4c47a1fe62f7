"""How fast dlrun attacks: PGD-40 in L-infinity on a naturally trained network, 2,000 test images.

On a CPU LeNet on MNIST, eps 0.1, step 0.01, random start. The claims:

- dlrun is at least 1.4 times as fast, in images per second, as torchattacks at the batch size that suits it best;
- the robust accuracies are within 0.5 points of each other.

A plain loop, from which no image leaves before the end, stands beside them: it shows what early leaving gives. Where
there is a GPU, the same table for ResNet18 follows, on the same images in three channels of 32x32; there nothing is
claimed.

All subjects take turns in one process, on the same weights and images; a figure is the median over the repeats.

    python -m benchmarks.attack_pgd [--images 2000] [--repeats 3] [--epochs 3]

MNIST is looked for in ``$DLRUN_DATA`` or ``data``. torchattacks comes with the extra ``bench``. The exit
status is 1 if a claim is not met. The machine must be idle.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from dlrun import cli
from dlrun import weights as checkpoint
from dlrun.attack.pgd import PGD
from dlrun.dataset.field import fit as fit_images
from dlrun.model.lenet import LeNet
from dlrun.model.normalized import Normalized
from dlrun.model.resnet import fit

STEPS, EPS, SIZE, FASTER, WITHIN = 40, 0.1, 0.01, 1.4, 0.005
BATCHES = (64, 128, 256, 512, 1024, 2000)
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def trained(overrides: str, network: nn.Module, channels: int) -> Normalized:
    """A network trained by dlrun for a few epochs, in evaluation mode."""
    with tempfile.TemporaryDirectory() as folder:
        cli.run_verb("train", [*overrides.split(), f"hydra.run.dir={folder}"])
        checkpoint.load_weights(network, Path(folder) / "checkpoints" / "best.pt")
    return Normalized(network, [0.1307] * channels, [0.3081] * channels).eval()


def plain(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The loop as tutorials have it."""
    now = (images + torch.empty_like(images).uniform_(-EPS, EPS)).clamp(0, 1)
    for _ in range(STEPS):
        now.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(now), targets), now)
        moved = now.detach() + SIZE * gradient.sign()
        now = torch.clamp(images + torch.clamp(moved - images, -EPS, EPS), 0, 1)
    return now


def torchattacks(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The peer."""
    peer: Any = importlib.import_module("torchattacks")
    attacked: Tensor = peer.PGD(model, eps=EPS, alpha=SIZE, steps=STEPS, random_start=True)(images, targets)
    return attacked


def run(attack: Attack, model: nn.Module, images: Tensor, targets: Tensor, batch: int) -> tuple[float, float]:
    """Seconds for all images, and the accuracy that is left."""
    torch.manual_seed(0)
    attack(model, images[:batch], targets[:batch])  # warm up
    batches = list(zip(torch.split(images, batch), torch.split(targets, batch), strict=True))
    synchronize(images)
    started = time.perf_counter()
    attacked = [attack(model, *pair) for pair in batches]
    synchronize(images)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        pairs = zip(attacked, batches, strict=True)
        right = sum(int((model(part).argmax(1) == own).sum()) for part, (_, own) in pairs)
    return seconds, right / len(images)


def synchronize(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


def compare(title: str, model: nn.Module, images: Tensor, targets: Tensor, repeats: int) -> bool:
    """Print the table; whether the claims hold."""
    subjects: dict[str, Attack] = {"dlrun": PGD(EPS, steps=STEPS, step_size=SIZE), "plain loop": plain}
    if importlib.util.find_spec("torchattacks"):
        subjects["torchattacks"] = torchattacks
    batches = [size for size in BATCHES if size <= len(images)]
    few = min(len(images), 2 * batches[-1])
    best = {  # each subject's batch size, from one pass over some images
        name: min(batches, key=lambda batch: run(attack, model, images[:few], targets[:few], batch)[0])
        for name, attack in subjects.items()
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, attack in subjects.items():
            figures[name].append(run(attack, model, images, targets, best[name]))
    speed = {name: len(images) / median(seconds for seconds, _ in found) for name, found in figures.items()}
    accuracy = {name: found[0][1] for name, found in figures.items()}
    table = Table("subject", "batch", "images/s", "robust accuracy", "dlrun / subject", title=title)
    for name in subjects:
        ratio = speed["dlrun"] / speed[name]
        table.add_row(name, str(best[name]), f"{speed[name]:,.0f}", f"{accuracy[name]:.4f}", f"{ratio:.2f}")
    Console().print(table)
    peer = "torchattacks" if "torchattacks" in subjects else "plain loop"
    fast, near = speed["dlrun"] >= FASTER * speed[peer], abs(accuracy["dlrun"] - accuracy[peer]) <= WITHIN
    print(f"at least {FASTER} times as fast as {peer}: {'met' if fast else 'NOT MET'}")
    print(f"accuracies within {100 * WITHIN} points: {'met' if near else 'NOT MET'}")
    return fast and near


def test_images(count: int) -> tuple[Tensor, Tensor]:
    """The first test images of MNIST as bytes, (count, 1, 28, 28), and their classes."""
    datasets: Any = importlib.import_module("torchvision.datasets")
    data = datasets.MNIST(os.environ.get("DLRUN_DATA", "data"), train=False, download=True)
    return data.data[:count].unsqueeze(1), data.targets[:count]


def main() -> int:
    """Measure and print all; the exit status."""
    parser = argparse.ArgumentParser(description="Speed of dlrun's PGD, against its peers.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="of the training before")
    options = parser.parse_args()
    train = f"dataset=mnist trainer.epochs={options.epochs} callback.tensorboard.images=0"
    pixels, targets = test_images(options.images)
    lenet = trained(f"model=lenet trainer.device=cpu {train}", LeNet(1, 28, 10), 1)
    title = f"LeNet on MNIST, PGD-{STEPS}, eps {EPS}"
    met = compare(f"{title}, CPU", lenet, pixels / 255, targets, options.repeats)
    if torch.cuda.is_available():
        resnet = fit(models.resnet18(num_classes=10), 3, 32)
        overrides = f"model=resnet18 {train} dataset.image_size=32 dataset.channels=3"
        larger = trained(f"{overrides} trainer.device=cuda", resnet, 3).cuda()
        images = fit_images(pixels, 3, 32).cuda() / 255
        title = f"ResNet18 on 32x32, PGD-{STEPS}, eps {EPS}, {torch.cuda.get_device_name()}"
        compare(title, larger, images, targets.cuda(), options.repeats)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
