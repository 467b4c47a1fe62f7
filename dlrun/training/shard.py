"""A network in parts: each process holds its part of every parameter, by torch's ``fully_shard`` (FSDP2).

A block's parameters are gathered for the moment in which it is computed, and its gradients are added and divided again.
Whoever asks the network for its state gets whole tensors under plain names, and gives it such, so that checkpoints know
nothing of the parts. What gathers takes all processes: they call the network, and ask for its state, equally often.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dlrun.callback.callback import Callback
from dlrun.dataset.data import Data
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.task.task import Task
from dlrun.training import process_group
from dlrun.training.sync_batch_norm import synchronize

LISTS = (nn.Sequential, nn.ModuleList)


def over_processes(model: Normalized, device: torch.device, synchronized: bool = False) -> Normalized:
    """The model in parts on the devices of all processes, in place, which is never whole on a GPU.

    Args:
        model: on the CPU, alike in all processes.
        device: of this one.
        synchronized: batch normalisation takes the statistics of all processes' parts of a batch.

    Raises:
        UserError: a parameter is a single number, which cannot be divided.
    """
    for name, parameter in model.network.named_parameters():
        if not parameter.ndim:
            raise UserError(f"trainer.shard=true: {name} is a single number; expected parameters of one axis or more")
    if synchronized:
        synchronize(model)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mesh = process_group.mesh(device)
    made = _divided(model, mesh).to(device)
    _gathered_once(made)
    return made


def check_watched(task: Task, callbacks: Mapping[str, Callback], data: Data) -> None:
    """Refuse what needs the network in one piece.

    Raises:
        UserError: names it.
    """
    if task.in_one_piece:
        raise UserError(
            f"trainer.shard=true: task={type(task).__name__} needs the network in one piece; expected false"
        )
    for name, callback in callbacks.items():
        if callback.reads_network(data):
            raise UserError(
                f"callback.{name}={type(callback).__name__}: reads the network, of which the first process has a part"
                " with trainer.shard=true; expected null, or a callback whose reads_network() is False"
            )


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network that are computed one after the other: the items of its lists of layers."""
    for child in module.children():
        if isinstance(module, LISTS) and not isinstance(child, LISTS):
            if any(True for _ in child.parameters()):
                yield child
        else:
            yield from blocks(child)


def whole(value: Tensor) -> Tensor:
    """A tensor put together in the memory of the first process; in the others one without values, for its shape."""
    if not isinstance(value, DTensor):
        return value
    full = value.full_tensor()
    return full.to("cpu" if dist.get_rank() == 0 else "meta")


def divided(value: Any, like: Tensor) -> Any:
    """A whole tensor in parts as another one of its shape is; any other value as it is."""
    if not isinstance(value, Tensor) or not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _divided(model: Normalized, mesh: DeviceMesh) -> Normalized:
    """The model, in place, which can be copied all the same: torch itself copies no network in parts."""
    empty = {id(each): nn.Parameter(each.detach().to("meta"), each.requires_grad) for each in model.parameters()}
    plan = copy.deepcopy(model, {**empty})
    counts = Counter(id(each) for _, each in model.named_parameters(remove_duplicate=False))
    units: list[nn.Module] = [model] if max(counts.values()) > 1 else [*blocks(model), model]  # who share stay together
    for unit in units:
        fully_shard(unit, mesh=mesh)
    model.network.register_state_dict_post_hook(_give_whole)  # type: ignore[no-untyped-call]
    model.network.register_load_state_dict_pre_hook(_take_whole)  # type: ignore[no-untyped-call]
    model.__deepcopy__ = partial(_copied, model, plan, mesh)  # type: ignore[assignment]
    return model


def _copied(model: Normalized, plan: Normalized, mesh: DeviceMesh, memo: dict[int, Any]) -> Normalized:
    made = _divided(copy.deepcopy(plan), mesh).to_empty(device=next(model.parameters()).device)
    _gathered_once(made)
    with torch.no_grad():
        for own, other in zip(_tensors(made), _tensors(model), strict=True):
            own.copy_(other)
    for mine, module in zip(made.modules(), model.modules(), strict=True):
        mine.training = module.training
    return made


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _gathered_once(model: nn.Module) -> None:
    """Let torch make the memory in which blocks are gathered: made in inference mode, no training could use it."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
            module.reshard()


def _give_whole(module: nn.Module, state: MutableMapping[str, Any], prefix: str, _: Any) -> None:
    for name, value in state.items():
        if name.startswith(prefix):
            state[name] = whole(value)


def _take_whole(module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if f"{prefix}{name}" in state:
            state[f"{prefix}{name}"] = divided(state[f"{prefix}{name}"], parameter)
