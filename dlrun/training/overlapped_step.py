"""The step of processes with a micro-batch each, whose gradients are added while the backward pass goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.dataset.batch import Batch
from dlrun.task.task import Clock
from dlrun.training.replica import change
from dlrun.training.step import Means, Step, learning, parted
from dlrun.training.world import TreeSum, World

BUCKET = 25 * 2**20
"""Bytes of gradients that are sent together, DistributedDataParallel's; a network with fewer has nothing to overlap."""


class OverlappedStep(Step):
    """Where no order of addition is promised: gradients are sent as soon as a bucket of them is full.

    This is what DistributedDataParallel does for a network that is called once and has one optimizer. A player here may
    call its network more than once, and has its own parameters; a process may have no part of a small batch.
    """

    def _play_parts(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        batches: Sequence[Batch],
        prepared: Mapping[int, Batch],
        clock: Clock,
        turn: int,
    ) -> Means:
        ((place, batch),) = prepared.items()
        is_mine = place in self.division.mine(len(batches))
        share = self._shares(batches)[place] if is_mine else (0.0, 0.0)
        seed = self.division.seeded(clock.step, place, turn)
        means, changes = self._play_one(player, optimizer, batch, seed, share, is_mine)
        self.division.seeded(clock.step, self.division.count, turn)
        scaled = [value * (share[0] if name == "loss" else share[1]) for name, value in means.items()]
        tensors, sums = [*changes, *scaled], TreeSum()
        vector = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        if is_mine:
            sums.add(place, vector.clone())
        pieces = parted(self.division.world.combine(sums, len(batches), vector), tensors)
        change(self.buffers, pieces[: len(changes)])
        return dict(zip(means, pieces[len(changes) :], strict=True))

    def _play_one(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        batch: Batch,
        seed: int,
        share: tuple[float, float],
        is_mine: bool,
    ) -> tuple[Means, list[Tensor]]:
        """Leave the gradients of all processes in the player's parameters.

        Args:
            player: that learns.
            optimizer: the player's.
            batch: this process's micro-batch, or one for its shape alone.
            seed: of what is drawn.
            share: of its loss in that of all, and of its other means.
            is_mine: whether it is a part of the batch.

        Returns:
            The means over this process's micro-batch, and its share of what has become of the buffers, which stay.
        """
        weight, examples = share
        with self.replicas.one() as replica:
            replica.begin(seed)
            with nullcontext() if is_mine else replica.left_out():
                loss, means = self._measured(replica.net, player, batch, counts=weight > 0)
            with added(learning(optimizer), self.division.world, at_once=not self.synchronized):
                self._backward(self.scaler.scale(loss * weight), optimizer)
            return means, replica.changes(examples)


@contextmanager
def added(parameters: Sequence[nn.Parameter], world: World, at_once: bool = True) -> Iterator[None]:
    """Add the gradients that a backward pass leaves meanwhile to those of all processes, in buckets.

    All processes send the buckets in one order, also where some parameters have no gradients in one of them.

    Args:
        parameters: that get the sums as their gradients.
        world: the processes.
        at_once: send a bucket as soon as it is full, and not only after the backward pass, during which layers may ask
            the other processes themselves.
    """
    buckets = in_buckets(parameters)
    missing = [len(bucket) for bucket in buckets]
    numbers = {parameter: number for number, bucket in enumerate(buckets) for parameter in bucket}
    sent: list[tuple[Tensor, Callable[[], None]]] = []

    def send() -> None:
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in buckets[len(sent)]]
        values = torch.cat([gradient.reshape(-1) for gradient in gradients])
        sent.append((values, world.add(values)))

    def arrived(parameter: Tensor) -> None:
        missing[numbers[parameter]] -= 1  # type: ignore[index]
        while len(sent) < len(buckets) and not missing[len(sent)]:
            send()

    hooks: list[Any] = []
    if at_once:
        hooks += [each.register_post_accumulate_grad_hook(arrived) for each in parameters]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    while len(sent) < len(buckets):
        send()
    for bucket, (values, wait) in zip(buckets, sent, strict=True):
        wait()
        for parameter, gradient in zip(bucket, parted(values, bucket), strict=True):
            parameter.grad = gradient


def in_buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters whose gradients are sent together, the last first, as a backward pass comes to them."""
    found: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        if room <= 0 or parameter.dtype != found[-1][0].dtype:
            found.append([])
            room = BUCKET
        found[-1].append(parameter)
        room -= parameter.numel() * parameter.element_size()
    return found
