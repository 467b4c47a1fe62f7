"""A classifier of real images that judges made ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.dataset.data import Data
from dlrun.model.lenet import LeNet
from dlrun.task.frechet import frechet

STEPS, BATCH, RATE = 1000, 64, 2e-3
"""Of the judge's training: steps, images in each, and Adam's step size at its begin."""
SIDE = 16
"""Pixels; LeNet's two convolutions need 12."""
SURE = 0.9
"""The probability from which on the judge is sure of an image's class."""
THERE = 0.01
"""The share of the images from which on a class is there: a tenth of what ten equal classes have."""


class Judged(NamedTuple):
    """What the judge makes of images."""

    features: Tensor
    """Of the last hidden layer, float (N, 84)."""
    probabilities: Tensor
    """Of the classes, float (N, K)."""


class Judge:
    """LeNet, trained for a thousand steps on the training images; what it draws at random follows from the seed alone.

    It sees images with a side of :data:`SIDE` pixels or more, to which smaller ones are enlarged.

    Args:
        data: with images and classes.
        device: where to train.
        seed: of weights and order.
    """

    def __init__(self, data: Data, device: torch.device, seed: int = 0) -> None:
        train = [*data.evaluation("train").epoch()]
        images, targets = (torch.cat([batch[name] for batch in train]).to(device) for name in ("image", "target"))
        images = enlarged(images)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            self.network = LeNet(images.shape[1], images.shape[2], len(data.classes)).to(device)
            optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
            for _ in range(STEPS):
                chosen = torch.randint(len(images), (BATCH,)).to(device)
                optimizer.zero_grad()
                loss = F.cross_entropy(self.network(images[chosen]), targets[chosen])
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
        self.network.eval()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Judged:
        """Features and probabilities of images, float (N, C, H, W) in [0,1]."""
        last = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]
        features: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: features.append(given[0].cpu()))
        device = next(self.network.parameters()).device
        with hook:
            logits = [self.network(enlarged(part.to(device))).cpu() for part in torch.split(images, 512)]
        return Judged(torch.cat(features), torch.cat(logits).softmax(dim=1))


def enlarged(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as the judge sees them."""
    return images if images.shape[-1] >= SIDE else F.interpolate(images, (SIDE, SIDE), mode="bilinear")


def quality(made: Judged, real: Judged, noise: Judged) -> dict[str, float]:
    """How far made images are from real ones, and how many of each class there are.

    The distance is the Frechet distance between the judge's features, of as many images for each of three: those that
    are made, the other half of the real ones (which no generator can do better than), and uniform noise.

    Args:
        made: N images of a generator.
        real: 2N images of the dataset.
        noise: N images of noise.
    """
    half, other = real.features[: len(made.features)], real.features[len(made.features) :]
    distances = {
        "frechet_distance": frechet(made.features, half),
        "real_distance": frechet(other, half),
        "noise_distance": frechet(noise.features, half),
    }
    shares = made.probabilities.argmax(dim=1).bincount(minlength=made.probabilities.shape[1]).double()
    shares = shares / shares.sum()
    return {
        **distances,
        "frechet_ratio": distances["frechet_distance"] / distances["noise_distance"],
        "confident_share": float((made.probabilities.amax(dim=1) > SURE).double().mean()),
        "class_divergence": float(torch.special.xlogy(shares, shares * len(shares)).sum()),
        "classes": float((shares >= THERE).sum()),
    }
