"""How a batch is divided into micro-batches, and how a process computes its own of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

import torch

from dlrun.compute import threads
from dlrun.compute.seeding import of_step, seed_torch
from dlrun.dataset.batch import Batch, size
from dlrun.training import process_group
from dlrun.training.options import TrainerOptions
from dlrun.training.world import Alone, World, share

Made = TypeVar("Made")
Found = TypeVar("Found")


def of(options: TrainerOptions, seed: int, device: torch.device) -> Division:
    """The division that a config asks for; from here on replicas are computed by one thread each.

    They are computed at the same time where that does not change what they give.

    Args:
        options: the ``trainer`` section.
        seed: of the run.
        device: a GPU computes one after the other.
    """
    if options.replicas is not None:
        threads.one()
    several = device.type == "cpu" and options.replicas and not options.compile and options.precision != "fp16"
    return Division(options.replicas, seed, device, threads.given() if several else 1, process_group.current())


class Division:
    """The division of every batch of a run.

    Each replica is computed by one thread, so that what it gives does not depend on how many threads or processes there
    are. Without replicas a batch stays whole, or is divided among the processes.

    Args:
        replicas: micro-batches of a batch; None for one for each process.
        seed: of the run.
        device: that computes.
        threads: that compute micro-batches at the same time.
        world: the processes.
    """

    def __init__(
        self,
        replicas: int | None = None,
        seed: int = 0,
        device: torch.device | None = None,
        threads: int = 1,
        world: World | None = None,
    ) -> None:
        self.world = world or Alone()
        self.count = replicas or self.world.size
        self.seed, self.device = seed, device or torch.device("cpu")
        self.threads = min(threads, self.count)
        self.is_whole = replicas is None and self.world.size == 1
        self._draws = False  # whether work drew from what all threads share

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))

    def cut(self, batch: Batch) -> list[Batch]:
        """The micro-batches of a batch, in their order: as many as asked for, if each gets two examples or more."""
        count = min(self.count, max(size(batch) // 2, 1))
        if count == 1:
            return [batch]
        pieces = {name: values.tensor_split(count) for name, values in batch.items()}
        return [{name: values[place] for name, values in pieces.items()} for place in range(count)]

    def mine(self, count: int) -> range:
        """Which of so many micro-batches this process computes."""
        return share(count, self.world.rank, self.world.size)

    def seeded(self, step: int, place: int, turn: int = 0) -> int:
        """Make what torch draws next a function of (seed, step, place, turn); the seed of it."""
        mixed = of_step(self.seed, step, place, turn)
        seed_torch(mixed, self.device)
        return mixed

    def compute(
        self,
        work: Callable[[int], Made],
        places: Sequence[int],
        step: int,
        turn: int,
        fold: Callable[[Iterable[Made]], Found],
    ) -> Found:
        """Do the work of each place, and put together what it gives, which comes in the order of the places.

        Work at the same time must not draw from torch's own random numbers, which all threads share. Where it turns out
        to, it is done again, one place after the other, each with a seed of its own.

        Args:
            work: of a place; called by several threads at a time.
            places: of micro-batches.
            step: number of the batch.
            turn: number of the work on it.
            fold: puts together; it may be called twice.
        """
        found: Any = None
        done = False
        if self.threads > 1 and len(places) > 1 and not self._draws:
            before = torch.get_rng_state()
            found = fold(self._pool.map(work, places))
            done = torch.equal(torch.get_rng_state(), before)
            self._draws = not done
        if not done:
            found = fold(self._one_by_one(work, places, step, turn))
        self.seeded(step, self.count, turn)  # what follows draws alike in both cases
        return found  # type: ignore[no-any-return]

    def _one_by_one(self, work: Callable[[int], Made], places: Sequence[int], step: int, turn: int) -> Iterator[Made]:
        for place in places:
            self.seeded(step, place, turn)
            yield work(place)
