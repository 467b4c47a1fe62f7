from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dlrun.dataset.source import TensorSource, classes, from_arrays, labelled, labels, stratified
from dlrun.errors import UserError

fixed = settings(derandomize=True, deadline=None, max_examples=50)


def pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_grey_arrays_get_a_channel() -> None:
    images = pixels(4, 5, 6)
    assert torch.equal(from_arrays(images.numpy(), [0, 1, 2, 3]).tensors["image"][:, 0], images)


def test_colour_arrays_get_their_channels_first() -> None:
    images = pixels(4, 5, 6, 3)
    assert torch.equal(from_arrays(images.numpy(), [0, 1, 2, 3])[2]["image"][1], images[2, :, :, 1])


def test_a_subset_keeps_images_and_targets_together() -> None:
    images = pixels(9, 1, 2, 2)
    part = labelled(images, torch.arange(9)).subset(torch.tensor([5, 2]))
    assert part.targets.tolist() == [5, 2]
    assert torch.equal(part.tensors["image"], images[[5, 2]])
    assert torch.equal(part[1]["image"], images[2])
    assert part[1]["target"] == 2


def test_labels_are_the_targets_where_there_are_any() -> None:
    with_them, without = labelled(pixels(3, 1, 2, 2), torch.arange(3)), TensorSource({"image": pixels(3, 1, 2, 2)})
    assert torch.equal(classes(with_them), torch.arange(3))
    assert labels(without) is None
    with pytest.raises(UserError, match=r"^dataset\.source: has no attribute targets"):
        classes(without)


many = st.lists(st.integers(0, 5), min_size=1, max_size=120).map(torch.tensor)


@fixed
@given(targets=many, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_the_parts_of_a_split_are_disjoint_and_cover_all(targets: Tensor, fraction: float, seed: int) -> None:
    first, second = stratified(targets, fraction, seed)
    assert sorted(first.tolist() + second.tolist()) == list(range(len(targets)))


@fixed
@given(targets=many, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_a_split_takes_its_fraction_of_all_but_for_the_last_of_a_class(
    targets: Tensor, fraction: float, seed: int
) -> None:
    first, second = stratified(targets, fraction, seed)
    assert set(targets[first].tolist()) == set(targets.tolist())
    kept = round(fraction * len(targets)) - len(second)
    assert 0 <= kept <= (targets[first].bincount() == 1).sum()


@fixed
@given(targets=many, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_a_split_takes_its_share_of_every_class_within_one_example(targets: Tensor, fraction: float, seed: int) -> None:
    second = stratified(targets, fraction, seed)[1]
    share = round(fraction * len(targets)) / len(targets)
    for label in set(targets.tolist()):
        taken, there = (targets[second] == label).sum().item(), (targets == label).sum().item()
        assert abs(taken - share * there) < 1 or there - taken == 1


@fixed
@given(targets=many, fraction=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_both_parts_of_a_split_are_in_ascending_order(targets: Tensor, fraction: float, seed: int) -> None:
    for part in stratified(targets, fraction, seed):
        assert part.tolist() == sorted(part.tolist())


def test_the_only_example_of_a_class_is_trained_on() -> None:
    for seed in range(20):
        first, second = stratified(torch.tensor([0] * 9 + [1]), 0.5, seed)
        assert 9 in first.tolist()
        assert len(first) in (5, 6)
        assert len(second) == 10 - len(first)


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
