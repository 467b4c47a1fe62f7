"""Copies of a model that compute micro-batches: their parameters are the model's, their buffers their own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Buffers:
    """Where the buffers of a model are, found once: a walk over all modules takes as long as a small layer.

    Args:
        model: whose modules stay the same.
    """

    def __init__(self, model: nn.Module) -> None:
        first: dict[int, tuple[str, dict[str, Tensor | None], str]] = {}
        for prefix, module in model.named_modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:  # one that two modules share counts once
                    first.setdefault(id(buffer), (f"{prefix}.{name}".lstrip("."), module._buffers, name))
        self._places = [*first.values()]

    def all(self) -> dict[str, Tensor]:
        """Every buffer, by name."""
        found = {name: buffers[own] for name, buffers, own in self._places}
        return {name: buffer for name, buffer in found.items() if buffer is not None}

    def counted(self) -> dict[str, Tensor]:
        """Those that hold numbers."""
        return {name: buffer for name, buffer in self.all().items() if buffer.dtype != torch.bool}


class Replica:
    """A copy of a model for one micro-batch at a time.

    All copies begin a step with the model's buffers, such as the running statistics of batch normalisation, and what
    each makes of them is put together like gradients. Dropout draws from a generator of the copy's own: torch's is
    shared by all threads.

    Args:
        model: the model.
        compiled: run the copy through torch.compile; its dropout then is torch's.
        synchronized: batch normalisation takes the statistics of all processes' micro-batches.
    """

    def __init__(self, model: nn.Module, compiled: bool = False, synchronized: bool = False) -> None:
        self.model = copy.deepcopy(model, {id(each): each for each in model.parameters()})
        self.generator = torch.Generator(next(model.parameters()).device)
        for module in [] if compiled else self.model.modules():
            if isinstance(module, DROPOUTS) and type(module) in DROPOUTS:
                module.forward = partial(dropout, module, self.generator)  # type: ignore[method-assign]
        if synchronized:
            from dlrun.training.sync_batch_norm import synchronize  # torch's part of it takes a moment to import

            synchronize(self.model)
        self.net: Any = torch.compile(self.model) if compiled else self.model
        self._modules = [*zip(self.model.modules(), model.modules(), strict=True)]
        self._own, self._others = Buffers(self.model), Buffers(model)

    def begin(self, seed: int) -> None:
        """Take over the model's modes and buffers, and what dropout draws from a seed."""
        for own, other in self._modules:
            if own.training != other.training:
                own.training = other.training
        with torch.no_grad():
            for mine, buffer in zip(self._own.all().values(), self._others.all().values(), strict=True):
                mine.data.copy_(buffer)  # unseen by autograd: one player's turn may go back through another's
        self.generator.manual_seed(seed)

    def left_out(self) -> AbstractContextManager[None]:
        """Meanwhile what it computes is no part of the batch."""
        from dlrun.training.sync_batch_norm import left_out

        return left_out(self.model)

    def changes(self, share: float) -> list[Tensor]:
        """What has become of the buffers since; see :func:`changes`."""
        return changes(self._own.counted(), self._others.counted(), share)


def is_mean(name: str, buffer: Tensor) -> bool:
    """Whether a buffer of several replicas is put together by its mean, and not by its sum."""
    return buffer.is_floating_point() or name.endswith("num_batches_tracked")


def changes(after: Mapping[str, Tensor], before: Mapping[str, Tensor], share: float) -> list[Tensor]:
    """What has become of buffers: the part of a mean with this share, of counters the number.

    Batch normalisation counts one batch a step, however many parts it has.
    """
    return [(after[name] - old) * (share if is_mean(name, old) else 1.0) for name, old in before.items()]


@torch.no_grad()
def change(buffers: Buffers, changes: Sequence[Tensor]) -> None:
    """Change a model's buffers by what its replicas have made of them."""
    for buffer, by in zip(buffers.counted().values(), changes, strict=True):
        buffer.add_((by if buffer.is_floating_point() else by.round()).to(buffer.dtype))


class Replicas:
    """As many copies of a model as threads ask for one at the same time; the arguments are those of a copy."""

    def __init__(self, model: nn.Module, compiled: bool = False, synchronized: bool = False) -> None:
        self._make = partial(Replica, model, compiled, synchronized)
        self._free: SimpleQueue[Replica] = SimpleQueue()

    @contextmanager
    def one(self) -> Iterator[Replica]:
        """A copy that no other thread has meanwhile."""
        try:
            replica = self._free.get_nowait()
        except Empty:
            replica = self._make()
        try:
            yield replica
        finally:
            self._free.put(replica)


def dropout(module: nn.modules.dropout._DropoutNd, generator: torch.Generator, inputs: Tensor) -> Tensor:
    """What a module of :data:`DROPOUTS` does, with random numbers from a generator."""
    if not module.training or module.p == 0:
        return inputs
    kept = 1 - module.p
    shape = inputs.shape if isinstance(module, nn.Dropout) else (*inputs.shape[:2], *[1] * (inputs.ndim - 2))
    mask = inputs.new_empty(shape).bernoulli_(kept, generator=generator)
    return inputs * (mask / kept if kept else mask)
