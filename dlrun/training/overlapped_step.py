"""The step of processes with a micro-batch each, whose gradients are added while the backward pass goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.compute.seeding import of_step
from dlrun.dataset.batch import Batch
from dlrun.task.task import Clock
from dlrun.training.replica import change
from dlrun.training.step import Means, Step, parted
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
        weight, share = self._shares(batches)[place] if is_mine else (0.0, 0.0)
        with self.replicas.one() as replica:
            replica.begin(of_step(self.division.seed, clock.step, place, turn))
            self.division.seeded(clock.step, place, turn)
            with nullcontext() if is_mine else replica.left_out():
                loss, means = self._measured(replica.net, player, batch, counts=weight > 0)
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            with added(parameters, self.division.world, at_once=not self.synchronized):
                torch.autograd.backward(self.scaler.scale(loss * weight))
            changes = replica.changes(share)
        self.division.seeded(clock.step, self.division.count, turn)
        scaled = [value * (weight if name == "loss" else share) for name, value in means.items()]
        pieces = self._summed([*changes, *scaled], place if is_mine else None, len(batches))
        change(self.buffers, pieces[: len(changes)])
        return dict(zip(means, pieces[len(changes) :], strict=True))

    def _summed(self, tensors: Sequence[Tensor], place: int | None, count: int) -> list[Tensor]:
        """The sums of these over so many micro-batches, of which that at the place is this process's, if it has one."""
        sums = TreeSum()
        vector = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        if place is not None:
            sums.add(place, vector.clone())
        return parted(self.division.world.combine(sums, count, vector), tensors)


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
