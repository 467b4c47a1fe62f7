"""Batch normalisation over the micro-batches of all processes.

torch's own, ``nn.SyncBatchNorm``, is for GPUs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


def all_reduce(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow."""
    total: Tensor = functional.all_reduce(values)  # type: ignore[no-untyped-call]
    return total


class Synchronized(_BatchNorm):
    """Batch normalisation of which every process computes a part of the batch; in evaluation as any other."""

    counts = True
    """Whether this process's inputs are a part of the batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """The inputs (B, C, ...) normalised by the mean and variance of all processes' inputs."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        dims = [axis for axis in range(values.ndim) if axis != 1]
        shape = [1, -1, *[1] * (values.ndim - 2)]
        count = values.new_tensor([values.numel() / values.shape[1]])
        sums = all_reduce(torch.cat([values.sum(dims), count]) * self.counts)
        number = float(sums[-1])
        mean = sums[:-1] / number
        centred = values - mean.view(shape)
        variance = all_reduce(centred.square().sum(dims) * self.counts) / number
        with torch.no_grad():
            self._track(mean, variance * number / (number - 1))
        normal: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as torch does, by the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def synchronize(model: nn.Module) -> None:
    """Let all batch normalisation of a model be that of all processes, in place."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = Synchronized


@contextmanager
def left_out(model: nn.Module) -> Iterator[None]:
    """Meanwhile a model computes what is no part of the batch, so that all processes call each other equally often."""
    found = [module for module in model.modules() if isinstance(module, Synchronized)]
    for module in found:
        module.counts = False
    try:
        yield
    finally:
        for module in found:
            module.counts = True
