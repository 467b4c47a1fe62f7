"""The step of a network that lies in parts on several processes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dlrun.dataset.batch import Batch
from dlrun.training.overlapped_step import OverlappedStep
from dlrun.training.replica import changes
from dlrun.training.shard import divided, whole
from dlrun.training.step import Means
from dlrun.training.sync_batch_norm import left_out


class ShardedStep(OverlappedStep):
    """A micro-batch for each process; torch adds and divides the gradients while the backward pass goes on.

    Its state is that of any step: whole tensors, which all processes put together.
    """

    def _play_one(
        self,
        player: str,
        optimizer: torch.optim.Optimizer,
        batch: Batch,
        seed: int,
        share: tuple[float, float],
        is_mine: bool,
    ) -> tuple[Means, list[Tensor]]:
        weight, examples = share
        before = {name: buffer.clone() for name, buffer in self.buffers.counted().items()}
        with nullcontext() if is_mine else left_out(self.model):
            loss, means = self._measured(self.net, player, batch, counts=weight > 0)
        # Torch takes the mean over the processes. One without a part of a small batch helps to gather, and adds 0.
        self._backward(loss * (weight * self.division.world.size), optimizer)
        found = changes(self.buffers.counted(), before, examples)
        with torch.no_grad():
            for name, buffer in self.buffers.counted().items():
                buffer.copy_(before[name])
        return means, found

    def _clip(self, optimizer: torch.optim.Optimizer, measure: bool) -> None:
        super()._clip(optimizer, measure)
        if isinstance(self.gradient_norm, DTensor):
            self.gradient_norm = self.gradient_norm.full_tensor()

    def agreed(self, wish: bool) -> bool:
        """Whether the first process wants to save, for which it needs all of them."""
        return self.division.world.shared(lambda: wish)

    def state_dict(self) -> dict[str, Any]:
        """The optimizers' states as a network in one piece has them."""
        state = super().state_dict()
        for optimizer in state["optimizers"].values():
            optimizer["state"] = {
                number: {name: whole(value) if isinstance(value, torch.Tensor) else value for name, value in of.items()}
                for number, of in optimizer["state"].items()
            }
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`, also of a network in one piece."""
        optimizers = {
            player: {**given, "state": _in_parts(given, self.optimizers[player])}
            for player, given in state["optimizers"].items()
        }
        super().load_state_dict({**state, "optimizers": optimizers})


def _in_parts(given: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """What an optimizer's state says of each parameter, in parts as the parameter is."""
    numbers = [number for group in given["param_groups"] for number in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    like = dict(zip(numbers, parameters, strict=False))  # the optimizer itself complains where they are not as many
    return {
        number: {name: divided(value, like[number]) if number in like else value for name, value in of.items()}
        for number, of in given["state"].items()
    }
