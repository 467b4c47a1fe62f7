"""Several processes of a run as threads of one, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from torch import Tensor

from dlrun.training.process_group import ProcessGroup

Item = TypeVar("Item")
Made = TypeVar("Made")


class Wires:
    """What the members of a group send to each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.queues: dict[tuple[int, int], SimpleQueue[Any]] = {
            (of, to): SimpleQueue() for of in range(size) for to in range(size)
        }
        self.slots: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=20)
        self.sent = 0
        """Tensors that went from one member to another."""


class Member(ProcessGroup):
    """A process that is a thread."""

    def __init__(self, wires: Wires, rank: int) -> None:
        self.wires, self.rank, self.size = wires, rank, wires.size

    def send(self, values: Tensor, to: int) -> None:
        self.wires.sent += 1
        self.wires.queues[self.rank, to].put(values.clone())

    def receive(self, values: Tensor, of: int) -> Tensor:
        return values.copy_(self.wires.queues[of, self.rank].get(timeout=20))

    def begin_sum(self, values: Tensor) -> Callable[[], object]:
        total = sum(self.exchange(values.clone()))
        return lambda: values.copy_(total)  # type: ignore[arg-type]

    def broadcast(self, values: Tensor) -> None:
        values.copy_(self.exchange(values.clone())[0])

    def broadcast_object(self, made: list[Any]) -> None:
        made[0] = self.exchange(made[0])[0]

    def exchange(self, item: Item) -> list[Item]:
        self.wires.slots[self.rank] = item
        self.wires.barrier.wait()
        found = list(self.wires.slots)
        self.wires.barrier.wait()
        return found


def in_each(size: int, call: Callable[[Member], Made]) -> list[Made]:
    """What a call gives in each of so many processes."""
    wires = Wires(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(call, [Member(wires, rank) for rank in range(size)]))
