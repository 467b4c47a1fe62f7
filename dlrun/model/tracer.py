"""A network as a graph of its layers."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

LAYERS = (nn.Conv2d, _BatchNorm)
"""Layers of which other libraries have forms of their own, whose code no tracer can follow."""


class Tracer(fx.Tracer):
    """Follows a network's code, and takes each layer of torch, or of a class that builds on one, for one operation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is an operation, and no code to be followed."""
        return isinstance(m, LAYERS) or super().is_leaf_module(m, module_qualified_name)
