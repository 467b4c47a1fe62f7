"""How a network lies on the devices: in one piece on each, or in parts on all of them."""

from __future__ import annotations

import torch
from torch import nn

from dlrun.model.normalized import Normalized
from dlrun.training.options import TrainerOptions
from dlrun.training.overlapped_step import BUCKET, OverlappedStep
from dlrun.training.step import Step


def placed(model: Normalized, device: torch.device, options: TrainerOptions, trains: bool) -> Normalized:
    """The model on the device, in place; with ``options.shard``, where it trains, a part of it.

    Args:
        model: on the CPU, alike in all processes.
        device: of this process.
        options: the ``trainer`` section.
        trains: to read a model, every process has it in one piece.
    """
    if options.shard and trains:
        from dlrun.training.shard import over_processes  # torch's part of it takes seconds to import

        return over_processes(model, device, options.sync_batch_norm)
    model = model.to(device)
    if options.channels_last:  # convolutions hand the format on from their weights
        model = model.to(memory_format=torch.channels_last)
    return model


def step_class(options: TrainerOptions, model: nn.Module) -> type[Step]:
    """The step of a network that lies so.

    Replicas are added in an order of their own. So are the gradients of a small network, as one message is the least.
    """
    if options.shard:
        from dlrun.training.sharded_step import ShardedStep

        return ShardedStep
    gradients = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return OverlappedStep if options.replicas is None and gradients > BUCKET else Step
