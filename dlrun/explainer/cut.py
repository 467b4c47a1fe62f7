"""What is below a layer, run as fast as inference can be: nothing there is differentiated."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from dlrun.model.fused import fused

Below = tuple[fx.GraphModule, fx.Node]

_kept: WeakKeyDictionary[nn.Module, tuple[list[Any], Below | None]] = WeakKeyDictionary()


def fused_below(model: nn.Module, layer: nn.Module, images: Tensor) -> Below | None:
    """The model as a graph whose convolutions below a layer are fused, and the node that is the layer's output.

    It is made anew when the model's weights have changed, or another layer is asked for.

    Args:
        model: in evaluation mode.
        layer: one of its modules.
        images: what it will be run on.

    Returns:
        None where that would be no faster (no batch normalisation, no CPU, another number format than fp32), or the
        model cannot be followed.
    """
    model = getattr(model, "_orig_mod", model)
    plain = images.device.type == "cpu" and images.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not plain or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return None
    tensors = chain(model.parameters(), model.buffers())
    state = [layer, *((tensor.data_ptr(), tensor._version) for tensor in tensors)]
    if model not in _kept or _kept[model][0] != state:
        _kept[model] = (state, fused(model, layer))
    return _kept[model][1]


class Cut(fx.Interpreter):
    """Runs a graph, and replaces one node's output.

    Args:
        module: the graph.
        node: one of its nodes.
        replace: takes the node's output, and gives what goes on in its place.
    """

    def __init__(self, module: fx.GraphModule, node: fx.Node, replace: Callable[[Any], Any]) -> None:
        super().__init__(module)
        self.node, self.replace = node, replace

    def run_node(self, n: fx.Node) -> Any:
        """The node's output."""
        output = super().run_node(n)
        return self.replace(output) if n is self.node else output
