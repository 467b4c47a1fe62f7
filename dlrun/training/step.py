"""One step of the optimizers, on one batch or on several whose gradients are combined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.compute.precision import Precision
from dlrun.compute.seeding import of_step
from dlrun.dataset.batch import Batch, size
from dlrun.task.task import Clock, Task
from dlrun.training.division import Division
from dlrun.training.replica import Buffers, Replicas, change
from dlrun.training.world import TreeSum

Means = dict[str, Tensor]


def parted(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that a vector was put together from, of these shapes and types."""
    pieces = torch.split(vector, [each.numel() for each in like])
    return [piece.view(each.shape).to(each.dtype) for piece, each in zip(pieces, like, strict=True)]


def alone(mean: Tensor) -> Tensor:
    """The mean in memory of its own: it is kept for an epoch, and would keep what it shares its memory with.

    That may be a step's gradients, of which it is a piece, or the errors of all pixels: torch's ``mse_loss`` leaves
    its mean in the place of those.
    """
    return mean if mean.untyped_storage().nbytes() == mean.nbytes else mean.clone()


def learning(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The parameters of an optimizer that are not frozen."""
    return [each for group in optimizer.param_groups for each in group["params"] if each.requires_grad]


@contextmanager
def without_gradients(net: nn.Module) -> Iterator[None]:
    """Meanwhile what a network computes passes zeros back, through all layers, as other processes may wait there."""

    def silence(module: nn.Module, arguments: Any, outputs: Any) -> None:
        if isinstance(outputs, Tensor) and outputs.requires_grad:
            outputs.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]

    hook = net.register_forward_hook(silence)
    try:
        yield
    finally:
        hook.remove()


class Step:
    """For each player: gradients of every micro-batch, combined in a fixed order, clipped, and applied.

    Ordinary training has one player, the whole model; a GAN has two, which move in turn. A player's loss leaves
    gradients in its own parameters alone. What a micro-batch draws at random follows from (seed, step, its place).

    Args:
        task: what a batch means.
        model: the network behind its normalisation.
        optimizers: by player.
        precision: of the computation.
        division: into how many micro-batches, and who computes them; None leaves a batch whole.
        clip_norm: the largest norm of a player's gradient; None for any.
        compiled: run the model through torch.compile.
        synchronized: batch normalisation takes the statistics of all micro-batches.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizers: Mapping[str, torch.optim.Optimizer],
        precision: Precision,
        division: Division | None = None,
        clip_norm: float | None = None,
        compiled: bool = False,
        synchronized: bool = False,
    ) -> None:
        self.task, self.model, self.optimizers, self.precision = task, model, optimizers, precision
        self.division, self.clip_norm = division or Division(), clip_norm
        self.net: Any = torch.compile(model) if compiled else model
        self.synchronized = synchronized
        self.replicas, self.buffers = Replicas(model, compiled, synchronized), Buffers(model)
        self.scaler = precision.scaler()
        self.rates = {player: [group["lr"] for group in made.param_groups] for player, made in optimizers.items()}
        self.loss_names = {f"{player}_loss" if player else "loss" for player in optimizers}
        """The means that count by the task's weight of a batch beside other steps'; all others do by its examples."""
        self.gradient_norm: Tensor | None = None
        """Before clipping, of the last player in the last step that measured it."""

    def agreed(self, wish: bool) -> bool:
        """Whether to save, where this process wishes to: what is in one piece, the first process saves by itself."""
        return wish

    @property
    def learning_rate(self) -> float:
        """That of the first parameter group, in the last step."""
        rate: float = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        return rate

    def __call__(self, batches: Sequence[Batch], clock: Clock, factor: float, measure: bool = False) -> Means:
        """Learn from the batches; returns the means over all their examples, by metric.

        Args:
            batches: the micro-batches of all processes.
            clock: the time of the step.
            factor: of the learning rates.
            measure: keep the norm of the gradient.
        """
        self._set_rates(factor)
        is_whole = self.division.is_whole and len(batches) == 1
        mine = range(1) if is_whole else self.division.mine(len(batches)) or range(1)
        with nullcontext() if is_whole else self._buffers_kept():
            prepared = {place: self._prepared(batches[place], place, clock) for place in mine}
        means: Means = {}
        for turn, (player, optimizer) in enumerate(self.optimizers.items(), start=1):
            optimizer.zero_grad(set_to_none=True)
            if is_whole:
                found = self._play(player, optimizer, prepared[0], clock, turn)
            else:
                found = self._play_parts(player, optimizer, batches, prepared, clock, turn)
            means |= {f"{player}_{name}" if player else name: alone(value) for name, value in found.items()}
            self._clip(optimizer, measure)
            self.scaler.step(optimizer)
        self.scaler.update()
        return means

    def _prepared(self, batch: Batch, place: int, clock: Clock) -> Batch:
        self.division.seeded(clock.step, place)
        with self.precision.autocast():
            return self.task.prepare(self.net, batch, clock)

    def _play(self, player: str, optimizer: torch.optim.Optimizer, batch: Batch, clock: Clock, turn: int) -> Means:
        """Leave the player's gradients on a whole batch in its parameters."""
        self.division.seeded(clock.step, 0, turn)
        loss, means = self._measured(self.net, player, batch)
        self._backward(self.scaler.scale(loss), optimizer)
        return means

    def _backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Leave the gradients of a loss in the parameters of an optimizer; torch computes no others."""
        several = len(self.optimizers) > 1
        torch.autograd.backward(loss, inputs=learning(optimizer) if several else None)

    def _play_parts(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        batches: Sequence[Batch],
        prepared: Mapping[int, Batch],
        clock: Clock,
        turn: int,
    ) -> Means:
        """The same for micro-batches, of which this process computes those that are prepared.

        Gradients, the changes of buffers and the means of a micro-batch are one vector, and the vectors are added.
        """
        parameters = learning(optimizer)
        shares, mine = self._shares(batches), self.division.mine(len(batches))
        sums = TreeSum()

        def work(place: int) -> tuple[list[str], list[Tensor]]:
            weight, share = shares[place]
            with self.replicas.one() as replica:
                replica.begin(of_step(self.division.seed, clock.step, place, turn))
                with nullcontext() if place in mine else replica.left_out():
                    loss, means = self._measured(replica.net, player, prepared[place], counts=weight > 0)
                loss = self.scaler.scale(loss * (weight * (place in mine)))
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
                scaled = [value * (weight if name == "loss" else share) for name, value in means.items()]
                return list(means), [*gradients, *replica.changes(share), *scaled]

        def fold(parts: Iterable[tuple[list[str], list[Tensor]]]) -> tuple[list[str], list[Tensor], Tensor]:
            sums.nodes.clear()
            for place, part in zip(prepared, parts, strict=True):
                vector = torch.cat([tensor.reshape(-1) for tensor in part[1]])
                if place in mine:  # a process without a part of a small batch computes one for its shape alone
                    sums.add(place, vector)
            return *part, vector

        names, tensors, like = self.division.compute(work, list(prepared), clock.step, turn, fold)
        total = self.division.world.combine(sums, len(batches), like)
        pieces = parted(total, tensors)
        for parameter, gradient in zip(parameters, pieces, strict=False):
            parameter.grad = gradient
        change(self.buffers, pieces[len(parameters) : len(pieces) - len(names)])
        return dict(zip(names, pieces[len(pieces) - len(names) :], strict=True))

    def _measured(self, net: nn.Module, player: str, batch: Batch, counts: bool = True) -> tuple[Tensor, Means]:
        """The player's loss on a batch, and the means over it.

        The loss of no target at all is NaN, and so is its gradient. Of a batch that does not count both are zero.
        """
        with self.precision.autocast(), nullcontext() if counts else without_gradients(net):
            loss, outputs = self.task.loss(net, batch, player)
        with torch.no_grad():
            value = loss.detach() if counts else torch.zeros_like(loss)
            return loss, {"loss": value, **self.task.batch_metrics(outputs, batch)}

    @contextmanager
    def _buffers_kept(self) -> Iterator[None]:
        """Preparing changes no buffers: it would in each process others."""
        kept = {name: buffer.clone() for name, buffer in self.buffers.all().items()}
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in self.buffers.all().items():
                    buffer.copy_(kept[name])

    def _shares(self, batches: Sequence[Batch]) -> list[tuple[float, float]]:
        """For each micro-batch its part in the mean loss of all, and in means over their examples."""
        weights, sizes = [float(self.task.weight(batch)) for batch in batches], [size(batch) for batch in batches]
        whole, examples = sum(weights), sum(sizes)
        return [(weight / (whole or 1.0), count / examples) for weight, count in zip(weights, sizes, strict=True)]

    def _clip(self, optimizer: torch.optim.Optimizer, measure: bool) -> None:
        """Clip the gradients, and measure their norm for clipping or the log."""
        if self.clip_norm or measure:
            self.scaler.unscale_(optimizer)
            parameters = learning(optimizer)
            self.gradient_norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm or math.inf)

    def _set_rates(self, factor: float) -> None:
        for player, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[player], strict=True):
                group["lr"] = rate * factor

    def state_dict(self) -> dict[str, Any]:
        """The optimizers' states, and the scale of the gradients."""
        states = {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()}
        return {"optimizers": states, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        self.scaler.load_state_dict(state["scaler"])
