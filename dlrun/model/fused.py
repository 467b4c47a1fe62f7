"""A network for inference: convolutions in one operation with what follows them.

Batch normalisation is folded into the weights. On a CPU a sum and a ReLU are part of the convolution too (oneDNN's
post-operations), so that a feature map is written to memory once and not four times, and the weights lie in the order
that it computes in. Used through :mod:`dlrun.model.inference` alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dlrun.model.tracer import Tracer

SUMS = (operator.add, operator.iadd, torch.add)
RELUS = (F.relu, torch.relu)


@dataclass(frozen=True)
class Fused:
    """A network that gives what the plain one gives, but for rounding.

    Args:
        module: the network as a graph.
        last: the node up to which it is fused.
    """

    module: fx.GraphModule
    last: fx.Node

    def __call__(self, images: Tensor, replace: Callable[[Any], Any] | None = None) -> Any:
        """The output; ``replace`` takes the last fused node's output, and gives what goes on in its place."""
        if replace is None:
            return self.module(images)
        return _Cut(self.module, self.last, replace).run(images)

    @property
    def convolutions(self) -> int:
        """How many of them are fused with what follows."""
        return sum(node.op == "call_module" and str(node.target).startswith(PREFIX) for node in self.module.graph.nodes)


PREFIX = "fused_"
"""Of the names of fused convolutions."""


class FusedConv(nn.Module):
    """A convolution on a CPU, and what follows it.

    Args:
        conv: the convolution; its weights are copied.
        relu: cut off below 0, after the sum if there is one.
        dtype: the number format to compute in.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        settings = (cast(tuple[int, ...], conv.padding), conv.stride, conv.dilation, conv.groups)
        self.weight = conv.weight.data.to(dtype)
        self.settings = (None if conv.bias is None else conv.bias.data.to(dtype), *settings)
        self.after = "relu" if relu else "none"
        self._ordered: tuple[torch.Size, Tensor] | None = None
        self.channels = conv.out_channels
        self.sides = list(zip(settings[0], settings[1], settings[2], conv.kernel_size, strict=True))

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        """The convolution of images (B, C, H, W), plus another tensor."""
        run = partial(torch.ops.mkldnn._convolution_pointwise, images)
        arguments = (self.ordered(images.shape), *self.settings)
        if other is None:
            return cast(Tensor, run(*arguments, self.after, [], ""))
        # A sum that stretches one of the two; or one at a single position, which torch 2.11 cannot fuse.
        if other.shape != self.output_shape(images) or other.shape[2:] == (1, 1):
            return cast(Tensor, (run(*arguments, "none", [], "") + other).relu_())
        return cast(Tensor, run(other, *arguments, "add", 1.0, self.after, [], ""))

    def ordered(self, shape: torch.Size) -> Tensor:
        """The weights in the order in which images of this shape (B, C, H, W) are computed, whatever their number.

        In another order each call would put them right first, which takes longer than a convolution of small images.
        """
        kept = self._ordered
        if kept is None or kept[0] != shape[1:]:
            weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.settings[1:], [*shape])
            self._ordered = kept = (shape[1:], weight)
        return kept[1]

    def output_shape(self, images: Tensor) -> tuple[int, ...]:
        """The convolution's."""
        sizes = zip(images.shape[2:], self.sides, strict=True)
        return (len(images), self.channels, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, (p, s, d, k) in sizes))


def fused(network: nn.Module, layer: nn.Module | None = None, dtype: torch.dtype = torch.float32) -> Fused | None:
    """A network that computes the same but for rounding, for inference alone.

    Args:
        network: in evaluation mode; stays as it is, and shares with the result what is not fused.
        layer: one of its modules: what is above its output stays as it is. None: the network itself.
        dtype: the number format of fused convolutions.

    Returns:
        None for a network that ``torch.fx`` cannot follow, or a layer without one output.
    """
    tracer = _Tracer(layer)
    try:
        graph = tracer.trace(network)
    except Exception:  # whatever the tracer stumbles over in a user's own network
        return None
    module = fx.GraphModule(network, graph)
    last = cast(fx.Node, list(graph.nodes)[-1].args[0]) if layer is None else tracer.output
    if not isinstance(last, fx.Node):
        return None
    last = _Fusion(module, last, dtype).run()
    module.delete_all_unused_submodules()
    module.recompile()
    return Fused(module, last)


class _Fusion:
    """Fuses the convolutions of a graph, in place.

    Args:
        module: the graph.
        last: the node whose output must be what it was; nothing above it is touched.
        dtype: the number format of fused convolutions.
    """

    def __init__(self, module: fx.GraphModule, last: fx.Node, dtype: torch.dtype) -> None:
        self.module, self.last, self.dtype = module, last, dtype
        nodes = list(module.graph.nodes)
        self.below = nodes[: nodes.index(last) + 1]
        self.parts = dict(module.named_modules())

    def run(self) -> fx.Node:
        """Fuse; the node that is the last one now."""
        for node in self.below:
            conv = self.part(node)
            if isinstance(conv, nn.Conv2d) and is_plain(conv):
                self.fuse(node, conv)
        return self.last

    def fuse(self, node: fx.Node, conv: nn.Conv2d) -> None:
        """Put one operation in the place of a convolution and what follows it."""
        chain, inputs = [node], [node.args[0]]
        after, norm = self.user(node), self.part(self.user(node))
        if after is not None and type(norm) is nn.BatchNorm2d and norm.running_mean is not None:
            conv = fuse_conv_bn_eval(conv, norm)
            chain.append(after)
            after = self.user(after)
        made: nn.Module = conv
        if conv.weight.device.type == "cpu" and has_onednn(self.dtype):
            if after is not None and after.target in SUMS and len(after.all_input_nodes) == 2 and not after.kwargs:
                cut_off = self.user(after)
                if cut_off is not None and self.is_relu(cut_off):
                    inputs += [one for one in after.args if one is not chain[-1]]
                    chain += [after, cut_off]
            elif after is not None and self.is_relu(after):
                chain.append(after)
            made = FusedConv(conv, self.is_relu(chain[-1]), self.dtype)
        self.replace(chain, made, inputs)

    def replace(self, chain: list[fx.Node], made: nn.Module, inputs: list[Any]) -> None:
        """Put a module in the place of a chain of nodes."""
        name, graph = f"{PREFIX}{chain[0].name}", self.module.graph
        self.module.add_submodule(name, made)
        with graph.inserting_after(chain[-1]):
            node = graph.call_module(name, tuple(inputs))
        chain[-1].replace_all_uses_with(node)
        self.last = node if chain[-1] is self.last else self.last
        for one in reversed(chain):
            graph.erase_node(one)

    def part(self, node: fx.Node | None) -> nn.Module | None:
        """The module that a node calls."""
        return self.parts.get(str(node.target)) if node is not None and node.op == "call_module" else None

    def user(self, node: fx.Node) -> fx.Node | None:
        """The one node that takes this one's output, if nothing else needs it."""
        users = [] if node is self.last else list(node.users)
        return users[0] if len(users) == 1 and users[0] in self.below else None

    def is_relu(self, node: fx.Node) -> bool:
        """Whether a node cuts off below 0."""
        return isinstance(self.part(node), nn.ReLU) or node.target in RELUS


class _Tracer(Tracer):
    """Follows a network, and remembers which node of its graph is the output of a layer."""

    def __init__(self, layer: nn.Module | None) -> None:
        super().__init__()
        self.layer = layer
        self.output: fx.Node | None = None

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Note the output; of a layer that is called more than once it is the last one."""
        output = super().call_module(m, forward, args, kwargs)
        if m is self.layer:
            self.output = output.node if isinstance(output, fx.Proxy) else None
        return output


class _Cut(fx.Interpreter):
    """Runs a graph, and replaces one node's output."""

    def __init__(self, module: fx.GraphModule, node: fx.Node, replace: Callable[[Any], Any]) -> None:
        super().__init__(module)
        self.node, self.replace = node, replace

    def run_node(self, n: fx.Node) -> Any:
        """The node's output."""
        output = super().run_node(n)
        return self.replace(output) if n is self.node else output


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there, and computes in this number format on this processor."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    asks = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    return dtype not in asks or bool(getattr(torch.ops.mkldnn, asks[dtype])())


def is_plain(conv: nn.Conv2d) -> bool:
    """Whether a convolution is torch's own, with zeros around the image and nothing hooked on to it."""
    return (
        type(conv) is nn.Conv2d
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and not conv._forward_hooks
        and not conv._forward_pre_hooks
    )
