from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from dlrun.dataset.field import fit
from dlrun.dataset.source import from_arrays, labelled, stratified

fixed = settings(derandomize=True, deadline=None, max_examples=50)


def pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def assert_within_one_level(images: Tensor, expected: Tensor) -> None:
    assert images.dtype == torch.uint8
    torch.testing.assert_close(images.int(), expected.int(), atol=1, rtol=0)


def test_luminance_matches_torchvision() -> None:
    images = pixels(4, 3, 16, 16)
    assert_within_one_level(fit(images, 1, 16), reference.rgb_to_grayscale(images))


def test_luminance_of_grey_is_the_same_grey() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(fit(grey.expand(3, -1, -1), 1, 16), grey)


@pytest.mark.parametrize("image_size", [9, 16, 50])
def test_resizing_matches_torchvision(image_size: int) -> None:
    images = pixels(4, 3, 28, 20)
    expected = reference.resize(images, [image_size, image_size], antialias=True)
    assert_within_one_level(fit(images, 3, image_size), expected)


def test_one_channel_becomes_three_equal_ones() -> None:
    images = pixels(4, 1, 8, 8)
    assert torch.equal(fit(images, 3, 8), torch.cat([images] * 3, dim=1))


def test_an_image_alone_is_fitted_as_in_a_batch() -> None:
    images = pixels(4, 3, 28, 20)
    batch = fit(images, 1, 12)
    assert all(torch.equal(fit(image, 1, 12), row) for image, row in zip(images, batch, strict=True))


def test_images_that_fit_already_stay_as_they_are() -> None:
    images = pixels(4, 3, 8, 8)
    assert torch.equal(fit(images, 3, 8), images)


def test_grey_arrays_get_a_channel() -> None:
    images = pixels(4, 5, 6)
    assert torch.equal(from_arrays(images.numpy(), [0, 1, 2, 3]).tensors["image"][:, 0], images)


def test_colour_arrays_get_their_channels_first() -> None:
    images = pixels(4, 5, 6, 3)
    assert torch.equal(from_arrays(images.numpy(), [0, 1, 2, 3])[2]["image"][1], images[2, :, :, 1])


def test_a_subset_keeps_images_and_targets_together() -> None:
    whole = labelled(pixels(9, 1, 2, 2), torch.arange(9))
    part = whole.subset(torch.tensor([5, 2]))
    assert part.targets.tolist() == [5, 2]
    assert torch.equal(part.tensors["image"], whole.tensors["image"][[5, 2]])


labels = st.lists(st.integers(0, 5), min_size=1, max_size=120).map(torch.tensor)


@fixed
@given(targets=labels, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_the_parts_of_a_split_are_disjoint_and_cover_all(targets: Tensor, fraction: float, seed: int) -> None:
    first, second = stratified(targets, fraction, seed)
    assert sorted(first.tolist() + second.tolist()) == list(range(len(targets)))


@fixed
@given(targets=labels, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_a_split_takes_its_fraction_of_all(targets: Tensor, fraction: float, seed: int) -> None:
    assert len(stratified(targets, fraction, seed)[1]) == round(fraction * len(targets))


@fixed
@given(targets=labels, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_a_split_takes_its_share_of_every_class_within_one_example(targets: Tensor, fraction: float, seed: int) -> None:
    second = stratified(targets, fraction, seed)[1]
    share = len(second) / len(targets)
    for label in set(targets.tolist()):
        taken, there = (targets[second] == label).sum().item(), (targets == label).sum().item()
        assert abs(taken - share * there) < 1


@fixed
@given(targets=labels, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_both_parts_of_a_split_are_in_ascending_order(targets: Tensor, fraction: float, seed: int) -> None:
    for part in stratified(targets, fraction, seed):
        assert part.tolist() == sorted(part.tolist())


def test_a_split_is_a_function_of_its_seed() -> None:
    targets = torch.arange(200) % 7
    first, again, other = (stratified(targets, 0.3, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_example_is_as_likely_as_another_to_be_split_off() -> None:
    targets = torch.arange(20) % 2
    counts = np.zeros(20)
    for seed in range(1000):
        counts[stratified(targets, 0.3, seed)[1].numpy()] += 1
    np.testing.assert_allclose(counts / 1000, 0.3, atol=0.06)


def test_a_split_of_many_examples_takes_its_fraction_exactly() -> None:
    assert len(stratified(torch.zeros(300_000, dtype=torch.int64), 0.99, 0)[1]) == 297_000
