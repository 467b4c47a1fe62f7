"""Photos and printed digits of installed packages."""

from __future__ import annotations

import pytest
import torch

from dlrun.dataset import printed_digits, sample_photos
from dlrun.dataset.source import TensorSource


@pytest.fixture(autouse=True)
def scikit_image() -> None:
    pytest.importorskip("skimage", reason="pip install 'dlrun[lesson]'")


def test_photos_are_of_imagenets_classes() -> None:
    splits = sample_photos.load(224, 256)
    assert isinstance(splits.test, TensorSource)
    assert splits.test.tensors["image"].shape == (6, 3, 256, 256)
    names = [splits.classes[target] for target in splits.test.targets.tolist()]
    assert names == ["palace", "daisy", "tripod", "tabby", "espresso", "missile"]


def test_pairs_are_two_halves_and_say_where_each_class_is() -> None:
    splits = sample_photos.load(32, 64, pairs=True)
    assert isinstance(splits.test, TensorSource)
    assert splits.regions is not None
    images, targets = splits.test.tensors["image"], splits.test.targets
    for number in range(6):
        other = (number + 1) % 6
        assert torch.equal(images[number, :, :, 32:], images[other, :, :, :32])
        region = splits.regions[number]
        assert region[targets[number], :, :16].all()
        assert region[targets[other], :, 16:].all()
        assert int(region.sum()) == 32 * 32


def test_printed_digits_are_all_of_one_height_in_fonts_of_their_own() -> None:
    splits = printed_digits.load(64)
    assert isinstance(splits.train, TensorSource)
    assert isinstance(splits.test, TensorSource)
    images, targets = splits.test.tensors["image"], splits.test.targets
    assert targets.bincount().tolist() == [36] * 10
    upright = images[1::3, 0]  # turned by -10, 0, 10 degrees
    ink = (upright > 127).any(dim=2)
    assert (ink.sum(dim=1) - printed_digits.HEIGHT).abs().max() <= 2
    assert len({image.numpy().tobytes() for image in upright}) == 120
    means = torch.stack([splits.train.tensors["image"][splits.train.targets == k].float().mean(0) for k in range(10)])
    nearest = torch.cdist(images.float().flatten(1), means.flatten(1)).argmin(dim=1)
    assert float((nearest == targets).float().mean()) > 0.6
