"""Sums over several processes, and what they tell each other."""

from __future__ import annotations

import signal

import pytest
import torch
from torch import Tensor

from dlrun import interrupt
from dlrun.interrupt import Interrupted
from dlrun.training.world import TreeSum, World, merges, share
from tests.training.group import Member, Wires, in_each
from tests.training.test_step import tree


def parts_of(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    scale = 10 ** torch.randint(-3, 4, (count, 1), generator=generator).float()
    return list(torch.randn(count, 1000, generator=generator) * scale)


def total(world: World, parts: list[Tensor]) -> Tensor:
    sums = TreeSum()
    for place in share(len(parts), world.rank, world.size):
        sums.add(place, parts[place].clone())
    return world.combine(sums, len(parts), torch.empty(1000))


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize("count", range(1, 10))
def test_the_sum_is_the_same_to_the_bit_on_any_number_of_processes(count: int, size: int) -> None:
    parts = parts_of(count)
    for found in in_each(size, lambda world: total(world, parts)):
        assert torch.equal(found, tree(parts))


@pytest.mark.parametrize(("count", "size"), [(8, 2), (8, 8), (128, 128), (5, 3)])
def test_each_process_but_the_first_sends_what_it_has_once_or_twice(count: int, size: int) -> None:
    sent = [merge.of for merge in merges(count, size) if merge.of != merge.to]
    assert set(sent) == set(range(1, size))
    if count % size == 0:
        assert len(sent) == size - 1
    received = [merge.to for merge in merges(count, size) if merge.of != merge.to]
    assert max(map(received.count, received)) <= max(count.bit_length() - 1, 1)


@pytest.mark.parametrize(("count", "size"), [(8, 3), (4, 4), (2, 5), (1, 2), (7, 7)])
def test_every_micro_batch_has_one_process_and_the_first_has_one(count: int, size: int) -> None:
    shares = [share(count, rank, size) for rank in range(size)]
    assert [place for some in shares for place in some] == list(range(count))
    assert 0 in shares[0]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_items_are_gathered_in_order() -> None:
    def call(world: Member) -> list[int]:
        return world.gather([10 * world.rank + number for number in range(world.rank)])

    assert in_each(4, call) == [[10, 20, 21, 30, 31, 32]] * 4


def test_one_process_calls_for_all() -> None:
    assert in_each(3, lambda world: world.shared(lambda: [world.rank, 7])) == [[0, 7]] * 3


def test_the_first_process_goes_ahead() -> None:
    order: list[int] = []

    def call(world: Member) -> None:
        with world.first():
            order.append(world.rank)

    in_each(3, call)
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2]


def test_a_signal_stops_only_when_all_know_of_it() -> None:
    world = Member(Wires(1), 0)
    with interrupt.at_check():
        signal.raise_signal(signal.SIGTERM)
        with interrupt.together():
            interrupt.check()
            total(world, parts_of(2))
            with pytest.raises(Interrupted, match="SIGTERM"):
                interrupt.check()
        with interrupt.together():
            interrupt.check()
            world.gather([0])
            with pytest.raises(Interrupted, match="SIGTERM"):
                interrupt.check()
        with interrupt.together(), interrupt.by_itself(), pytest.raises(Interrupted):
            interrupt.check()
        with pytest.raises(Interrupted):
            interrupt.check()
