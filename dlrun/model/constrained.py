"""Layers whose weights cannot lengthen anything: 1-Lipschitz maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

Norm = Literal["l2", "linf"]


def constrained(layer: nn.Linear | nn.Conv2d, norm: Norm) -> nn.Module:
    """The layer with weights that keep its Lipschitz constant at 1 or below, in this norm, whatever the optimizer does.

    In L2 all singular values are 1, so that gradients do not shrink either; the windows of a convolution must not
    overlap there.

    Raises:
        ValueError: a convolution with overlapping windows in L2.
    """
    if norm == "linf":
        parametrize.register_parametrization(layer, "weight", RowsInL1Ball())
    elif isinstance(layer, nn.Linear):
        parametrizations.orthogonal(layer)
    elif layer.stride != layer.kernel_size:
        raise ValueError(f"stride={layer.stride}: expected the kernel's size {layer.kernel_size} with norm=l2")
    else:
        nn.init.orthogonal_(layer.weight)
        parametrize.register_parametrization(layer, "weight", Orthonormal())
    return layer


class RowsInL1Ball(nn.Module):
    """Rows whose absolute values sum to more than 1 are scaled back; the largest sum is the norm in L-infinity."""

    def forward(self, weight: Tensor) -> Tensor:
        """Weights (out, ...)."""
        rows = weight.flatten(1)
        return (rows / rows.abs().sum(dim=1, keepdim=True).clamp(min=1)).view_as(weight)


class Orthonormal(nn.Module):
    """The orthogonal factor of a kernel's rows; torch's own parametrisation takes matrices alone."""

    def forward(self, weight: Tensor) -> Tensor:
        """Weights (out, ...)."""
        rows = weight.flatten(1)
        wide = rows.shape[0] < rows.shape[1]
        factor, triangle = torch.linalg.qr(rows.T if wide else rows)
        factor = factor * triangle.diagonal().sign()  # unique, so it varies smoothly
        return torch.reshape(factor.T if wide else factor, weight.shape)
