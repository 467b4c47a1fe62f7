"""How fast dlrun trains what is more than one loss of one output: a GAN, and a U-Net.

The claim: an epoch of dlrun, with all its callbacks and what they do at its end, takes at most 1.10 times as long as a
loop written by hand of the same network, optimizer and batches, over floats that lie in memory on the device.

- *gan*: the DCGAN on 6,000 images of MNIST, batches of 64, Adam (0.0002, beta1 0.5) for each player. The loop is that
  of PyTorch's tutorial: samples are made once in a step, and shown to both players.
- *unet*: the U-Net on 1,200 canvases of 32x44 with up to three digits, batches of 16, Adam (0.005).

On a CPU the seconds are those that the processor worked, so other programs may run. Both take turns in one process. The
seconds of a subject are the least of its epochs after the first, over all repeats: neighbours can only add to them.

    python -m benchmarks.train_pixels [--epochs 4] [--repeats 3] [--only gan]

MNIST is looked for in ``$DLRUN_DATA`` or ``data``. The exit status is 1 if a claim is not met.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from benchmarks.train_mnist import DEVICE, mnist, now
from dlrun import cli
from dlrun.callback.callback import Callback
from dlrun.dataset import scattered_digits
from dlrun.dataset.source import TensorSource
from dlrun.model.dcgan import DCGAN
from dlrun.model.unet import UNet

CLAIM = 1.10
OPTIONS = {
    "gan": "model=dcgan model.width=32 model.latent=64 task=gan dataset=mnist dataset.per_class=600"
    " dataset.batch_size=64 dataset.normalize=false optimizer=adam optimizer.lr=0.0002 optimizer.betas=[0.5,0.999]"
    " trainer.monitor=train/generator_loss",
    "unet": "model=unet task=segmentation dataset=scattered_digits dataset.image_size=32 dataset.shape=[1,32,44]"
    " dataset.source.root=null dataset.source.source=digits dataset.source.digit_size=14 dataset.source.train=1200"
    " dataset.source.test=100 dataset.batch_size=16 dataset.normalize=false optimizer=adam optimizer.lr=0.005"
    " trainer.monitor=train/accuracy",
}
"""Of ``dlrun train``."""


def clock() -> float:
    """Seconds: of the processor's work, or on a GPU of time, once it has done all its work."""
    return now() if DEVICE.type == "cuda" else time.process_time()


class Clock(Callback):
    """Notes when each of a run's epochs begins, in its folder. The last of the callbacks, so it times all of them."""

    def on_epoch_start(self, trainer: Any) -> None:
        """An epoch begins: the one before it has ended, with its checkpoint."""
        with (trainer.folder / "times").open("a") as file:
            print(clock(), file=file)


def dlrun(name: str, epochs: int) -> list[float]:
    """``dlrun train`` as the command line runs it, with one callback more: the times at which each epoch began."""
    overrides = f"{OPTIONS[name]} dataset.val_fraction=0 scheduler=constant trainer.device={DEVICE.type}"
    overrides += f" trainer.epochs={epochs} +callback.clock._target_=benchmarks.train_pixels.Clock"
    with tempfile.TemporaryDirectory() as folder:
        cli.run_verb("train", [*overrides.split(), f"hydra.run.dir={folder}"])
        return [float(line) for line in (Path(folder) / "times").read_text().splitlines()]


def epochs_of(step: Callable[[Tensor], None], count: int, batch_size: int, epochs: int) -> list[float]:
    """A loop over so many examples, whose indices each step is given: the times at which each epoch began."""
    stamps = [clock()]
    for _ in range(epochs):
        for indices in torch.split(torch.randperm(count, device=DEVICE), batch_size):
            step(indices)
        stamps.append(clock())
    return stamps


def gan(epochs: int) -> list[float]:
    """Both players by hand."""
    images = mnist().data[:6000].unsqueeze(1).float().div_(255).to(DEVICE)
    network = DCGAN(1, 28, latent=64, width=32).to(DEVICE)
    generator, discriminator = network.generator, network.discriminator
    first, second = (torch.optim.Adam(part.parameters(), 2e-4, (0.5, 0.999)) for part in (discriminator, generator))

    def loss_of(logits: Tensor, goal: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, goal))

    def step(indices: Tensor) -> None:
        samples = generator(torch.randn(len(indices), 64, device=DEVICE))
        first.zero_grad()
        loss = loss_of(discriminator(images[indices]), 1.0) + loss_of(discriminator(samples.detach()), 0.0)
        torch.autograd.backward(loss)
        first.step()
        second.zero_grad()
        torch.autograd.backward(loss_of(discriminator(samples), 1.0))
        second.step()

    return epochs_of(step, len(images), 64, epochs)


def unet(epochs: int) -> list[float]:
    """One loss at every pixel by hand."""
    source = scattered_digits.load(None, 32, [1, 32, 44], "digits", digit_size=14, train=1200, test=100).train
    assert isinstance(source, TensorSource)
    images, masks = source.tensors["image"].float().div_(255).to(DEVICE), source.tensors["mask"].long().to(DEVICE)
    network = UNet(1, 32, 11, [16, 32, 64]).to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), 0.005)

    def step(indices: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(images[indices]), masks[indices]))
        optimizer.step()

    return epochs_of(step, len(images), 16, epochs)


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description="Speed of a GAN and a U-Net in dlrun, against loops written by hand.")
    parser.add_argument("--epochs", type=int, default=4, help="of each training, 3 or more; the first is not counted")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=list(OPTIONS))
    asked = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # as dlrun has it
    table, worst = Table("network", "by hand", "dlrun", "dlrun / by hand", "claim", ""), 0.0
    for name, loop in {"gan": gan, "unet": unet}.items():
        if asked.only not in (None, name):
            continue
        pairs = [(dlrun(name, asked.epochs), loop(asked.epochs)) for _ in range(asked.repeats)]
        own, hand = (
            min(end - start for stamps in each for start, end in list(pairwise(stamps))[1:])
            for each in zip(*pairs, strict=True)
        )
        worst = max(worst, own / hand)
        outcome = "met" if own / hand <= CLAIM else "NOT MET"
        table.add_row(name, f"{hand:.2f} s", f"{own:.2f} s", f"{own / hand:.2f}", f"<= {CLAIM:.2f}", outcome)
    Console().print(table)
    return int(worst > CLAIM)


if __name__ == "__main__":
    sys.exit(main())
