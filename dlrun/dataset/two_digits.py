"""Two digits on one canvas: a test of whether an explanation tells two classes of one image apart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dlrun.dataset import digits
from dlrun.dataset.field import fit
from dlrun.dataset.source import Splits, TensorSource, labelled
from dlrun.dataset.torchvision_source import load as load_torchvision
from dlrun.errors import UserError


def load(root: str, image_size: int = 56, source: str = "mnist", train: int = 20_000, test: int = 1_000) -> Splits:
    """Canvases with a digit at a random height in the left half and another one in the right half.

    The label is one of the two, left or right by chance: a network that learned them gives each a probability of a
    half, and its accuracy is a half. ``Splits.regions`` says in which half each class is.

    Args:
        root: the folder that holds MNIST.
        image_size: the canvas's side in pixels; a digit takes half of it.
        source: ``mnist``, or ``digits`` for those that come with scikit-learn.
        train: canvases to train on.
        test: canvases to test on.

    Raises:
        UserError: another source, an odd size, or no MNIST in ``root``.
    """
    if image_size % 2:
        raise UserError(f"dataset.image_size={image_size}: expected an even number, for two halves")
    if source == "mnist":
        single = load_torchvision("torchvision.datasets.MNIST", root)
    elif source == "digits":
        single = digits.load(image_size // 2)
    else:
        raise UserError(f"dataset.source.source={source}: no such choice; expected mnist or digits")
    assert isinstance(single.train, TensorSource)
    assert isinstance(single.test, TensorSource)
    trained, _ = _canvases(single.train, image_size, train, seed=0)
    tested, regions = _canvases(single.test, image_size, test, seed=1)
    return Splits(trained, tested, single.classes, regions=regions)


def _canvases(source: TensorSource, image_size: int, count: int, seed: int) -> tuple[TensorSource, Tensor]:
    """So many canvases, and where each class is in them, bool (N, K, H, W)."""
    rng = np.random.default_rng(seed)
    half = image_size // 2
    pairs = torch.from_numpy(rng.integers(0, len(source), (count, 2)))
    same = source.targets[pairs[:, 0]] == source.targets[pairs[:, 1]]
    while bool(same.any()):
        pairs[same, 1] = torch.from_numpy(rng.integers(0, len(source), int(same.sum())))
        same = source.targets[pairs[:, 0]] == source.targets[pairs[:, 1]]
    classes = source.targets[pairs]
    images = torch.zeros(count, 1, image_size, image_size, dtype=torch.uint8)
    regions = torch.zeros(count, int(source.targets.max()) + 1, image_size, image_size, dtype=torch.bool)
    heights = rng.integers(0, half + 1, (count, 2))
    for number in range(count):
        for side in range(2):
            left, top = side * half, int(heights[number, side])
            digit = fit(source[int(pairs[number, side])]["image"], 1, half)
            images[number, :, top : top + half, left : left + half] = digit
            regions[number, classes[number, side], :, left : left + half] = True
    chosen = torch.from_numpy(rng.integers(0, 2, (count, 1)))
    return labelled(images, classes.gather(1, chosen).squeeze(1)), regions
