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


def load(
    root: str | None = None,
    image_size: int = 56,
    source: str = "mnist",
    train: int = 20_000,
    test: int = 1_000,
    both: bool = False,
) -> Splits:
    """Canvases with a digit at a random height in the left half and another one in the right half.

    The label is one of the two, left or right by chance: a network that learned them gives each a probability of a
    half, and its accuracy is a half. Where both are named, targets are float (N, 10) of 0 and 1.
    ``Splits.regions`` says in which half each class is.

    Args:
        root: the folder that holds MNIST.
        image_size: the canvas's side in pixels; a digit takes half of it.
        source: ``mnist``, or ``digits`` for those that come with scikit-learn.
        train: canvases to train on.
        test: canvases to test on.
        both: name both digits, as labels that exclude nothing.

    Raises:
        UserError: another source, an odd size, or no MNIST in ``root``.
    """
    if image_size % 2:
        raise UserError(f"dataset.image_size={image_size}: expected an even number, for two halves")
    single = single_digits(source, root, image_size // 2)
    assert isinstance(single.train, TensorSource)
    assert isinstance(single.test, TensorSource)
    trained, _ = _canvases(single.train, image_size, train, both, seed=0)
    tested, regions = _canvases(single.test, image_size, test, both, seed=1)
    return Splits(trained, tested, single.classes, regions=regions)


SINGLE = {
    "mnist": "torchvision.datasets.MNIST",
    "fashion_mnist": "torchvision.datasets.FashionMNIST",
    "kmnist": "torchvision.datasets.KMNIST",
}
"""Collections of one grey object on black for each image, which can be put on canvases."""


def single_digits(source: str, root: str | None, size: int) -> Splits:
    """Images to be put on canvases: those of :data:`SINGLE`, or ``digits``, which come with scikit-learn, in this size.

    Raises:
        UserError: another source, or no such collection in ``root``.
    """
    if source in SINGLE:
        return load_torchvision(SINGLE[source], root or ".")
    if source == "digits":
        return digits.load(size)
    raise UserError(f"dataset.source.source={source}: no such choice; expected {', '.join(SINGLE)} or digits")


def _canvases(source: TensorSource, image_size: int, count: int, both: bool, seed: int) -> tuple[TensorSource, Tensor]:
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
    if both:
        named = torch.zeros(count, regions.shape[1]).scatter_(1, classes, 1.0)
        return labelled(images, named), regions
    chosen = torch.from_numpy(rng.integers(0, 2, (count, 1)))
    return labelled(images, classes.gather(1, chosen).squeeze(1)), regions
