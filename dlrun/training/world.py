"""Which process this is among how many, and how what they compute is put together.

A step is a list of micro-batches, whoever computes them: each process takes a range of them, and their gradients are
added in the order of one binary tree over all of them, so that the sum does not depend on who computed what.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

Gradients = list[Tensor]


class World(Protocol):
    """The processes that work on a run."""

    def mine(self, count: int) -> range:
        """Which of so many micro-batches this process computes."""

    def combine(self, sums: TreeSum) -> Gradients:
        """The sum over the micro-batches of all processes, the same in each."""

    def agree(self, flags: Tensor) -> Tensor:
        """The largest of each flag over all processes: stop, save now, diverged."""


class Alone:
    """One process: it computes everything, and asks nobody."""

    def mine(self, count: int) -> range:
        """All of them."""
        return range(count)

    def combine(self, sums: TreeSum) -> Gradients:
        """Its own sum."""
        return sums.total()

    def agree(self, flags: Tensor) -> Tensor:
        """The flags as they are."""
        return flags


class TreeSum:
    """Adds lists of tensors, given in order, as a binary tree does: pairs, pairs of pairs, and so on.

    It holds as many partial sums as the number of lists so far has binary digits.
    """

    def __init__(self) -> None:
        self.levels: list[Gradients | None] = []

    def add(self, part: Gradients) -> None:
        """Take in the next list; it is changed."""
        for level, other in enumerate(self.levels):
            if other is None:
                self.levels[level] = part
                return
            torch._foreach_add_(other, part)
            part, self.levels[level] = other, None
        self.levels.append(part)

    def total(self) -> Gradients:
        """The sum of all lists; call once."""
        sums = [part for part in self.levels if part is not None]
        total = sums[0]
        for part in sums[1:]:  # the later a list came, the lower its level: earlier ones come first
            torch._foreach_add_(part, total)
            total = part
        return total
