"""The processes of torch.distributed as a world."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from dlrun import interrupt
from dlrun.errors import RunError
from dlrun.training.world import Alone, TreeSum, World, merges

Item = TypeVar("Item")
_meshes: list[DeviceMesh] = []  # of the command in progress


class LostError(RunError):
    """Another process has ended, so that this one cannot go on."""

    def __init__(self) -> None:
        super().__init__("another process of this run has ended")


def current() -> World:
    """The processes that work on this run."""
    return ProcessGroup() if dist.is_available() and dist.is_initialized() else Alone()


class ProcessGroup:
    """The default group of torch.distributed.

    A signal to stop travels with what is combined and gathered, so that all processes hear of it at the same point of
    their work: what :func:`dlrun.interrupt.check` raises, it raises in all of them.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def combine(self, sums: TreeSum, count: int, like: Tensor) -> Tensor:
        """The sum over the micro-batches of all processes: each sends its own up the tree, the first one hands it on.

        Raises:
            LostError: another process has ended.
        """
        wishes = like.new_tensor(interrupt.wishes())
        flat = {}
        for node, part in sums.nodes.items():
            flat[node] = torch.cat([part, wishes])
            wishes = torch.zeros_like(wishes)  # once is enough
        sums.nodes.clear()
        total = like.new_empty(len(like) + len(wishes))
        with _lost():
            for left, right, to, of, made in merges(count, self.size):
                if self.rank == of != to:
                    self.send(flat.pop(right), to)
                elif self.rank == to:
                    other = flat.pop(right) if of == to else self.receive(torch.empty_like(total), of)
                    flat[made] = flat.pop(left).add_(other)
            if self.rank == 0:
                (total,) = flat.values()
            self.broadcast(total)
        interrupt.agree(total[len(like) :].tolist())
        return total[: len(like)]

    def add(self, values: Tensor) -> Callable[[], None]:
        """Begin to put the sum over all processes in the place of the values; what it returns waits for that.

        Both raise:
            LostError: another process has ended.
        """
        with _lost():
            wait = self.begin_sum(values)

        def waited() -> None:
            with _lost():
                wait()

        return waited

    def gather(self, items: list[Item]) -> list[Item]:
        """The items of all processes, which are pickled on their way.

        Raises:
            LostError: another process has ended.
        """
        with _lost():
            found = self.exchange((items, interrupt.wishes()))
        interrupt.agree([max(wishes) for wishes in zip(*(wishes for _, wishes in found), strict=True)])
        return [item for some, _ in found for item in some]

    def shared(self, call: Callable[[], Item]) -> Item:
        """What the call gives in the first process, pickled on its way.

        Raises:
            LostError: another process has ended, perhaps by what the call has raised.
        """
        with interrupt.by_itself():
            made: list[Any] = [call() if self.rank == 0 else None]
        with _lost():
            self.broadcast_object(made)
        value: Item = made[0]
        return value

    @contextmanager
    def first(self) -> Iterator[None]:
        """The first process goes ahead.

        Raises:
            LostError: another process has ended.
        """
        if self.rank:
            self.shared(lambda: None)
            yield
        else:
            with interrupt.by_itself():
                yield
            self.shared(lambda: None)

    def send(self, values: Tensor, to: int) -> None:
        """Send a tensor to another process."""
        dist.send(values, to)

    def receive(self, values: Tensor, of: int) -> Tensor:
        """Take a tensor from another process in the place of this one."""
        dist.recv(values, of)
        return values

    def begin_sum(self, values: Tensor) -> Callable[[], object]:
        """Begin to put the sum in the place of a tensor; what it returns waits."""
        work = dist.all_reduce(values, async_op=True)
        assert work is not None
        return work.wait

    def broadcast(self, values: Tensor) -> None:
        """Put the first process's tensor in the place of this one."""
        dist.broadcast(values, 0)

    def broadcast_object(self, made: list[Any]) -> None:
        """Put the first process's objects in the place of these."""
        dist.broadcast_object_list(made, 0)

    def exchange(self, item: Item) -> list[Item]:
        """The object of each process."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, item)
        return found


def mesh(device: torch.device) -> DeviceMesh:
    """All processes in a row, for what torch itself gathers on devices of this kind."""
    _meshes.append(init_device_mesh(device.type, (dist.get_world_size(),)))
    return _meshes[-1]


def let_go(error: BaseException | None = None) -> None:
    """Drop what would keep connections open at which others may wait.

    Gloo closes a connection when nobody holds its group any more; torch's caches hold a mesh, and that the group.

    Args:
        error: after which the others wait; its frames may hold what was sent, or a network in parts.
    """
    if error is None and not _meshes:
        return
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    for made in _meshes:
        getattr(made, "_pg_registry", {}).clear()
    _meshes.clear()
    gc.collect()


@contextmanager
def broken_is_lost() -> Iterator[None]:
    """Let connections that break outside of a world's own calls, as where torch gathers parameters, mean the same.

    Raises:
        LostError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "/gloo/" in str(error):  # gloo's errors have no class of their own
            raise LostError from error
        raise


@contextmanager
def _lost() -> Iterator[None]:
    """What torch raises where a connection breaks, as what it means."""
    try:
        yield
    except RuntimeError as error:  # of gloo; NCCL's are a kind of it
        raise LostError from error
