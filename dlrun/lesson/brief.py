"""A brief training, for lessons that look at what a network has learned; and the digits that they train on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.dataset import digits
from dlrun.dataset.source import TensorSource

BATCH = 32


def digit_images(side: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The embedded digits to train and to test on: images (N, 1, side, side) in [0,1], classes (N,)."""
    splits = digits.load(side)
    found = []
    for part in (splits.train, splits.test):
        assert isinstance(part, TensorSource)
        found.append((part.tensors["image"].float() / 255, part.targets.long()))
    return found[0], found[1]


def train(network: nn.Module, images: Tensor, targets: Tensor, epochs: int, lr: float = 5e-3) -> None:
    """Minimise the cross-entropy by Adam under the one-cycle schedule; leaves the network in eval mode."""
    steps = epochs * -(-len(images) // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(images)), BATCH):
            optimizer.zero_grad()
            F.cross_entropy(network(images[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, targets: Tensor) -> float:
    """The share of images whose largest output is that of their class."""
    return float((network(images).argmax(dim=1) == targets).double().mean())
