"""How fast dlrun fine-tunes: a new head on a frozen ResNet50, against the loop that courses teach.

The same images from class folders, the same weights (random ones from a file: speed does not depend on them), the same
head, batch size and epochs. The claims:

- ``dlrun finetune`` from an empty cache takes at most 1/10 of the time of the *usual* loop, which puts the whole model
  into the graph and decodes every image in every epoch; both in fp32;
- with bf16, where the processor or GPU has it in hardware, at most 1/25;
- a sweep of 12 settings of the head, also from an empty cache, takes less than twice as long as one pass over the
  images: each job takes about 3 seconds, most of them for its checkpoints and its TensorBoard page.

    python -m benchmarks.finetune_resnet50 [--images 2000] [--epochs 10] [--backbone resnet50] [--root FOLDER]

The images are those of ``FOLDER/{train,test}/CLASS``; without ``--root``, noise is written to class folders as JPEG
files of 256x256 pixels. The usual loop runs one epoch, or ``--usual-epochs`` of them, and its time is multiplied: its
epochs are alike. The exit status is 1 if a claim is not met. The machine must be idle.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torchvision import datasets, models, transforms

from dlrun.compute.precision import has_bf16

BATCH, RATE = 32, 0.001
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLAIMS = {"fp32": 10.0, "bf16": 25.0, "sweep": 2.0}
SWEEP = ("optimizer.lr=0.01,0.003,0.001", "optimizer.weight_decay=0,0.0001", "dataset.batch_size=32,64")


def noise(root: Path, images: int) -> None:
    """Class folders of JPEG files: ``images`` to train, a fifth as many to test, in ten classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", images), ("test", images // 5)):
        for number in range(count):
            folder = root / split / f"class{number % 10}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((256, 256)).save(folder / f"{number}.jpg")


def usual(root: Path, weights: Path, backbone: str, epochs: int) -> float:
    """The seconds of an epoch of the usual loop."""
    preprocess = transforms.Compose(
        [
            transforms.Resize(232),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    data = datasets.ImageFolder(str(root / "train"), preprocess)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=2)
    model = models.get_model(backbone, weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.fc = nn.Linear(model.fc.in_features, len(data.classes))
    model.to(DEVICE).train()
    optimizer = torch.optim.Adam(model.fc.parameters(), lr=RATE)
    started = time.perf_counter()
    for _ in range(epochs):
        for images, targets in loader:
            loss = F.cross_entropy(model(images.to(DEVICE)), targets.to(DEVICE))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            loss.item()  # as courses do, for the running loss
    return (time.perf_counter() - started) / epochs


def dlrun(folder: Path, root: Path, weights: Path, backbone: str, epochs: int, *more: str) -> tuple[float, float]:
    """The seconds of a whole command from an empty cache, start of Python and all, and those of its pass."""
    settings = [f"model.backbone={backbone}", f"weights={weights}", f"dataset.root={root}", f"cache={folder}/cache"]
    settings += [f"trainer.epochs={epochs}", f"trainer.device={DEVICE.type}"]
    command = [sys.executable, "-m", "dlrun", "finetune", *settings, *more]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    (taken,) = re.findall(r"features of [\d,]+ images in ([\d.]+) s", done.stdout)
    return seconds, float(taken)


def main() -> int:
    """Measure and print all; the exit status."""
    parser = argparse.ArgumentParser(description="Speed of dlrun finetune, against the usual loop.")
    parser.add_argument("--images", type=int, default=2000, help="to train, where --root is not given")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--usual-epochs", type=int, default=1, help="of the usual loop that are really run")
    parser.add_argument("--backbone", default="resnet50", choices=["resnet18", "resnet50"])
    parser.add_argument("--root", type=Path, help="a folder with train/CLASS and test/CLASS")
    options = parser.parse_args()
    rows: list[tuple[str, float, str, float, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = options.root.absolute() if options.root else folder / "images"
        if not options.root:
            noise(root, options.images)
        torch.manual_seed(0)
        weights = folder / "weights.pth"
        torch.save(models.get_model(options.backbone, weights=None).state_dict(), weights)
        shared = (root, weights, options.backbone)
        peer = options.epochs * usual(*shared, options.usual_epochs)
        rows.append((f"usual loop, {options.epochs} epochs", peer, "", 1.0, ""))
        single = (f"dataset.batch_size={BATCH}", f"optimizer.lr={RATE}")
        for precision in ["fp32", "bf16"] if has_bf16(DEVICE) else ["fp32"]:
            empty = folder / precision
            empty.mkdir()
            seconds, taken = dlrun(empty, *shared, options.epochs, f"trainer.precision={precision}", *single)
            rows.append((f"dlrun finetune, {precision}", seconds, "usual / this", peer / seconds, precision))
            if precision == "fp32":
                once = taken
        empty = folder / "sweep"
        empty.mkdir()
        seconds, _ = dlrun(empty, *shared, options.epochs, "trainer.precision=fp32", "-m", *SWEEP)
        rows.append(("one pass over the images, fp32", once, "", 1.0, ""))
        rows.append(("dlrun finetune -m, 12 settings", seconds, "this / one pass", seconds / once, "sweep"))
    table = Table("subject", "seconds", "ratio", "", "claim", "", title=f"{DEVICE}, {os.cpu_count()} cores")
    unmet = 0
    for subject, seconds, what, ratio, claim in rows:
        outcome = []
        if claim:
            met = ratio <= CLAIMS[claim] if claim == "sweep" else ratio >= CLAIMS[claim]
            unmet += not met
            sign = "<=" if claim == "sweep" else ">="
            outcome = [f"{sign} {CLAIMS[claim]:.0f}", "met" if met else "NOT MET"]
        table.add_row(subject, f"{seconds:.1f}", what, f"{ratio:.2f}", *outcome)
    Console().print(table)
    if not has_bf16(DEVICE):
        print("no row for bf16: there is none in hardware here")
    return int(unmet > 0)


if __name__ == "__main__":
    sys.exit(main())
