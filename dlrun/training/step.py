"""One step of the optimizers, on one batch or on several whose gradients are combined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.compute.precision import Precision
from dlrun.compute.seeding import seed_step
from dlrun.dataset.batch import Batch, size
from dlrun.task.task import Clock, Task
from dlrun.training.world import Alone, TreeSum, World

Means = dict[str, Tensor]


class Step:
    """For each player: gradients of every micro-batch, combined in a fixed order, clipped, and applied.

    Ordinary training has one player, the whole model; a GAN has two, which move in turn. While a player learns, the
    parameters of the others are frozen. What a micro-batch draws at random follows from (seed, step, its place).

    Args:
        task: what a batch means.
        model: the network behind its normalisation.
        optimizers: by player.
        precision: of the computation.
        seed: of the run.
        clip_norm: the largest norm of a player's gradient; None for any.
        compiled: run the model through torch.compile.
        world: who computes which micro-batches.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizers: Mapping[str, torch.optim.Optimizer],
        precision: Precision,
        seed: int = 0,
        clip_norm: float | None = None,
        compiled: bool = False,
        world: World | None = None,
    ) -> None:
        self.task, self.model, self.optimizers, self.precision = task, model, optimizers, precision
        self.seed, self.clip_norm, self.world = seed, clip_norm, world or Alone()
        self.net: Callable[..., Any] = torch.compile(model) if compiled else model
        self.scaler = precision.scaler()
        self.rates = {player: [group["lr"] for group in made.param_groups] for player, made in optimizers.items()}
        self.loss_names = {f"{player}_loss" if player else "loss" for player in optimizers}
        """The means that count by the task's weight of a batch beside other steps'; all others do by its examples."""
        self.gradient_norm: Tensor | None = None
        """Before clipping, of the last player in the last step that measured it."""

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
        mine = self.world.mine(len(batches))
        prepared: dict[int, Batch] = {}
        for place in mine:
            self._seed(clock, place, 0)
            with self.precision.autocast():
                prepared[place] = self.task.prepare(self.net, batches[place], clock)
        shares = self._shares(batches)
        means: Means = {}
        for turn, (player, optimizer) in enumerate(self.optimizers.items(), start=1):
            with self._playing(player):
                means |= self._play(player, optimizer, prepared, shares, partial(self._seed, clock, turn=turn))
            self._clip(optimizer, measure)
            self.scaler.step(optimizer)
        self.scaler.update()
        return means

    def _seed(self, clock: Clock, place: int, turn: int) -> None:
        """Make what is drawn next a function of (seed, step, place of the micro-batch, turn in the step)."""
        seed_step(self.seed, clock.step, place, self.precision.device, turn)

    def _play(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        batches: Mapping[int, Batch],
        shares: Sequence[tuple[float, float]],
        seed: Callable[[int], None],
    ) -> Means:
        """Leave the player's gradients in its parameters."""
        optimizer.zero_grad(set_to_none=True)
        sums, means = TreeSum(), Means()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for place, batch in batches.items():
            seed(place)
            with self.precision.autocast():
                loss, outputs = self.task.loss(self.net, batch, player)
            with torch.no_grad():
                found = {"loss": loss.detach(), **self.task.batch_metrics(outputs, batch)}
            if len(shares) == 1:  # in the hot loop nothing is multiplied by 1, or copied
                torch.autograd.backward(self.scaler.scale(loss))
                means = found
                break
            weight, share = shares[place]
            torch.autograd.backward(self.scaler.scale(loss * weight))
            parts = {name: value * (weight if name == "loss" else share) for name, value in found.items()}
            means = {name: value + means.get(name, 0.0) for name, value in parts.items()}
            sums.add([torch.zeros_like(each) if each.grad is None else each.grad for each in parameters])
            optimizer.zero_grad(set_to_none=True)
        if sums.levels:
            for parameter, gradient in zip(parameters, self.world.combine(sums), strict=True):
                parameter.grad = gradient
        return {f"{player}_{name}" if player else name: value for name, value in means.items()}

    def _shares(self, batches: Sequence[Batch]) -> list[tuple[float, float]]:
        """For each micro-batch its part in the mean loss of all, and in means over their examples."""
        if len(batches) == 1:
            return [(1.0, 1.0)]
        weights, sizes = [float(self.task.weight(batch)) for batch in batches], [size(batch) for batch in batches]
        whole, examples = sum(weights), sum(sizes)
        return [(weight / (whole or 1.0), count / examples) for weight, count in zip(weights, sizes, strict=True)]

    def _clip(self, optimizer: torch.optim.Optimizer, measure: bool) -> None:
        """Clip the gradients, and measure their norm for clipping or the log."""
        if self.clip_norm or measure:
            self.scaler.unscale_(optimizer)
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            self.gradient_norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm or math.inf)

    def _set_rates(self, factor: float) -> None:
        for player, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[player], strict=True):
                group["lr"] = rate * factor

    @contextmanager
    def _playing(self, player: str) -> Iterator[None]:
        """Meanwhile no parameters but the player's ask for gradients."""
        others = [] if player == "" else self._others(player)
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _others(self, player: str) -> list[nn.Parameter]:
        own = {id(each) for group in self.optimizers[player].param_groups for each in group["params"]}
        return [each for each in self.model.parameters() if each.requires_grad and id(each) not in own]

    def state_dict(self) -> dict[str, Any]:
        """The optimizers' states, and the scale of the gradients."""
        states = {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()}
        return {"optimizers": states, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        self.scaler.load_state_dict(state["scaler"])
