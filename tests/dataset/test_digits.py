from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dlrun.dataset.digits import load
from dlrun.dataset.source import MapStyle, TensorSource, classes


def images_of(source: MapStyle) -> np.ndarray:
    assert isinstance(source, TensorSource)
    return source.tensors["image"].numpy()


def rows(images: np.ndarray, targets: np.ndarray) -> list[tuple[int, ...]]:
    """Images and targets as a sorted list, to compare sets in which some may occur twice."""
    return sorted(tuple(row) for row in np.column_stack([images.reshape(len(images), -1), targets]).tolist())


def test_a_fifth_is_the_test_set() -> None:
    splits = load(8)
    assert (len(splits.train), len(splits.test)) == (1438, 359)


def test_pixels_at_8x8_are_those_of_scikit_learn_over_all_bytes() -> None:
    splits, digits = load(8), load_digits()
    expected = [[round(x * 255 / 16) for x in image.flat] for image in digits.images]
    both = np.concatenate([images_of(splits.train), images_of(splits.test)])
    targets = torch.cat([classes(splits.train), classes(splits.test)])
    assert rows(both, targets.numpy()) == rows(np.array(expected), digits.target)


def test_training_and_test_share_no_image() -> None:
    splits = load(8)
    train, test = (rows(images_of(split), classes(split).numpy()) for split in (splits.train, splits.test))
    assert not set(train) & set(test)


def test_the_test_set_has_its_share_of_every_class() -> None:
    splits = load(8)
    there = np.bincount(load_digits().target)
    taken = np.bincount(classes(splits.test).numpy())
    np.testing.assert_allclose(taken, there * 359 / 1797, atol=1)


def test_the_test_set_is_always_the_same() -> None:
    np.testing.assert_array_equal(images_of(load(8).test), images_of(load(8).test))


@pytest.mark.parametrize("image_size", [8, 28])
def test_images_are_bytes_from_0_to_255(image_size: int) -> None:
    images = images_of(load(image_size).train)
    assert images.dtype == np.uint8
    assert images.shape[1:] == (1, image_size, image_size)
    assert (images.min(), images.max()) == (0, 255)


def test_larger_images_keep_the_mean_brightness() -> None:
    small, large = (images_of(load(size).train).mean(axis=(1, 2, 3)) for size in (8, 32))
    assert np.corrcoef(small, large)[0, 1] > 0.99
    assert small.mean() == pytest.approx(large.mean(), rel=0.02)


def test_the_classes_are_the_ten_digits() -> None:
    assert load(8).classes == list("0123456789")
