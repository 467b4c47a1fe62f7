"""Which process this is among how many, and how what they compute is put together.

A step is a list of micro-batches, whoever computes them: each process takes a range of them, and their gradients are
added in the order of one binary tree over all of them, so that the sum does not depend on who computed what.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor

Item = TypeVar("Item")
Node = tuple[int, int]
"""Of the tree: a level, 0 for the leaves, and a number in it from left to right."""


class World(Protocol):
    """The processes that work on a run; the first of them, of rank 0, has its folder."""

    rank: int
    size: int

    def combine(self, sums: TreeSum, count: int, like: Tensor) -> Tensor:
        """The sum over the micro-batches of all processes, the same in each.

        Args:
            sums: those of this process, which are used up.
            count: how many there are of all.
            like: a tensor of the sum's length and type.
        """

    def add(self, values: Tensor) -> Callable[[], None]:
        """Begin to put the sum over all processes in the place of the values; what it returns waits for that."""

    def gather(self, items: list[Item]) -> list[Item]:
        """The items of all processes in the order of their ranks, the same in each."""

    def shared(self, call: Callable[[], Item]) -> Item:
        """What the call gives in the first process, in all of them."""

    def first(self) -> AbstractContextManager[None]:
        """The first process does this before the others, which find what it has left on disk."""


class Alone:
    """One process: it computes everything, and asks nobody."""

    rank, size = 0, 1

    def combine(self, sums: TreeSum, count: int, like: Tensor) -> Tensor:
        """Its own sum."""
        return sums.total()

    def add(self, values: Tensor) -> Callable[[], None]:
        """It is the sum."""
        return lambda: None

    def gather(self, items: list[Item]) -> list[Item]:
        """Its own."""
        return items

    def shared(self, call: Callable[[], Item]) -> Item:
        """What it gives."""
        return call()

    def first(self) -> AbstractContextManager[None]:
        """There are no others."""
        return nullcontext()


class TreeSum:
    """Adds tensors as a binary tree over their places does: pairs, pairs of pairs, and so on.

    One is added to its neighbour as soon as both are there, so that few sums are held at a time.
    """

    def __init__(self) -> None:
        self.nodes: dict[Node, Tensor] = {}

    def add(self, place: int, part: Tensor) -> None:
        """Take in the tensor of a place; it is changed."""
        level = 0
        while (other := self.nodes.pop((level, place ^ 1), None)) is not None:
            left, right = (other, part) if place % 2 else (part, other)
            part, level, place = left.add_(right), level + 1, place // 2
        self.nodes[level, place] = part

    def total(self) -> Tensor:
        """The sum of all, where those of all places up to the last are in; call once."""
        *higher, total = (self.nodes[node] for node in sorted(self.nodes, reverse=True))
        for part in reversed(higher):  # a whole tree stands left of what a smaller one holds
            total = part.add_(total)
        return total


class Merge(NamedTuple):
    """One addition of the tree for which a process may need a sum of another's."""

    left: Node
    right: Node
    to: int
    """The rank that has the left sum, and gets the new one in its place."""
    of: int
    """The rank that has the right one."""
    made: Node


def share(count: int, rank: int, size: int) -> range:
    """Which of so many micro-batches a process computes; the first process always has one."""
    return range(-(-rank * count // size), -(-(rank + 1) * count // size))


@cache
def merges(count: int, size: int) -> tuple[Merge, ...]:
    """The additions that make the total of so many micro-batches out of what each process has added itself."""
    owners = {node: rank for rank in range(size) for node in roots(share(count, rank, size))}
    found: list[Merge] = []

    def merge(left: Node, right: Node, made: Node) -> None:
        found.append(Merge(left, right, owners.pop(left), owners.pop(right), made))
        owners[made] = found[-1].to

    for level in range(count.bit_length()):
        for node in sorted(node for node in owners if node[0] == level and node[1] % 2 == 0):
            if (level, node[1] + 1) in owners:
                merge(node, (level, node[1] + 1), (level + 1, node[1] // 2))
    while len(owners) > 1:
        right, left = sorted(owners)[:2]
        merge(left, right, left)
    return tuple(found)


def roots(places: range) -> list[Node]:
    """The roots of the trees that :class:`TreeSum` is left with after these places."""
    found: list[Node] = []
    for place in places:
        node = (0, place)
        while (node[0], node[1] ^ 1) in found:
            found.remove((node[0], node[1] ^ 1))
            node = (node[0] + 1, node[1] // 2)
        found.append(node)
    return found
