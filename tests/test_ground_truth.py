"""Where the evidence is known: a planted patch, and two digits on one canvas."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.dataset.source import TensorSource
from dlrun.dataset.two_digits import load
from dlrun.explainer.grad_cam import GradCAM
from dlrun.explainer.random import Random
from dlrun.explanation.faithfulness import points_inside, share_inside


def planted(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise; class 1 has a patch of 6x6 stripes somewhere. Images (N, 1, 24, 24), targets, regions (N, 1, 24, 24)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 24, 24, generator=generator)
    targets = torch.arange(count) % 2
    regions = torch.zeros(count, 1, 24, 24, dtype=torch.bool)
    for number in range(count):
        top, left = torch.randint(0, 19, (2,), generator=generator).tolist()
        if targets[number]:
            images[number, :, top : top + 6, left : left + 6] = torch.tensor([0.0, 1.0] * 3)
            # A convolution of 3x3 sees the patch from one pixel beyond it.
            regions[number, :, max(0, top - 1) : top + 7, max(0, left - 1) : left + 7] = True
    return images, targets, regions


def test_grad_cam_falls_in_the_planted_patch_and_a_random_map_does_not() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
    images, targets, _ = planted(256, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        loss = F.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    images, targets, regions = planted(64, seed=1)
    assert float((model(images).argmax(dim=1) == targets).float().mean()) > 0.95
    there = targets == 1
    maps = GradCAM().maps(model, images, torch.ones(64, 1, dtype=torch.int64))
    noise = Random(grid=(24, 24)).maps(model, images, torch.ones(64, 1, dtype=torch.int64))
    assert float(share_inside(maps, regions)[there].mean()) > 0.6
    assert float(points_inside(maps, regions)[there].float().mean()) > 0.9
    assert float(share_inside(noise, regions)[there].mean()) < 0.2  # the patch is a tenth of the image
    assert float(points_inside(noise, regions)[there].float().mean()) < 0.3


def test_two_digits_lie_in_their_halves() -> None:
    splits = load("unused", image_size=32, source="digits", train=10, test=20)
    assert splits.regions is not None
    assert isinstance(splits.test, TensorSource)
    assert splits.regions.shape == (20, 10, 32, 32)
    for number in range(20):
        region = splits.regions[number]
        assert int(region.flatten(1).any(dim=1).sum()) == 2
        assert bool(region[splits.test.targets[number]].any())
        halves = sorted(region[:, 0].flatten(1).float() @ torch.arange(32.0))
        assert float(halves[-1]) == sum(range(16, 32))
        assert int((splits.test[number]["image"] > 0).sum()) > 20
