"""A network for inference: convolutions in one operation with what follows them.

Batch normalisation is folded into the weights. On a CPU a sum and a ReLU are part of the convolution too (oneDNN's
post-operations), so that a feature map is written to memory once and not four times, and the weights lie in the order
that it computes in.
"""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

SUMS = (operator.add, operator.iadd, torch.add)
RELUS = (F.relu, torch.relu)


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
        weight, bias = (None if each is None else each.data.to(dtype) for each in (conv.weight, conv.bias))
        weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *settings)
        self.arguments, self.after = (weight, bias, *settings), "relu" if relu else "none"
        self.channels = conv.out_channels
        self.sides = list(zip(settings[0], settings[1], settings[2], conv.kernel_size, strict=True))

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        """The convolution of images (B, C, H, W), plus another tensor."""
        run = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            return cast(Tensor, run(images, *self.arguments, self.after, [], ""))
        if other.shape != self.output_shape(images):  # a sum that stretches one of the two
            return cast(Tensor, (run(images, *self.arguments, "none", [], "") + other).relu_())
        return cast(Tensor, run(images, other, *self.arguments, "add", 1.0, self.after, [], ""))

    def output_shape(self, images: Tensor) -> tuple[int, ...]:
        """The convolution's."""
        sizes = zip(images.shape[2:], self.sides, strict=True)
        return (len(images), self.channels, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, (p, s, d, k) in sizes))


class Tracer(fx.Tracer):
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


def fused(
    network: nn.Module, layer: nn.Module | None = None, dtype: torch.dtype = torch.float32
) -> tuple[fx.GraphModule, fx.Node] | None:
    """A network that computes the same but for rounding, for inference alone.

    Args:
        network: in evaluation mode; stays as it is, and shares with the result what is not fused.
        layer: one of its modules: what is above its output stays as it is. None: the network itself.
        dtype: the number format of fused convolutions.

    Returns:
        The network as a graph, and the node that is the layer's output; None for a network that ``torch.fx`` cannot
        follow, or a layer without one output.
    """
    tracer = Tracer(layer)
    try:
        graph = tracer.trace(network)
    except Exception:  # whatever the tracer stumbles over in a user's own network
        return None
    module, nodes = fx.GraphModule(network, graph), list(graph.nodes)
    last = cast(fx.Node, nodes[-1].args[0]) if layer is None else tracer.output
    if not isinstance(last, fx.Node):
        return None
    below = nodes[: nodes.index(last) + 1]
    parts = dict(module.named_modules())

    def part(node: fx.Node | None) -> nn.Module | None:
        return parts.get(str(node.target)) if node is not None and node.op == "call_module" else None

    def user(node: fx.Node) -> fx.Node | None:
        """The one node that takes this one's output, if nothing else needs it."""
        users = [] if node is last else list(node.users)
        return users[0] if len(users) == 1 and users[0] in below else None

    def is_relu(node: fx.Node | None) -> bool:
        return isinstance(part(node), nn.ReLU) or (node is not None and node.target in RELUS)

    for node in below:
        conv = part(node)
        if not isinstance(conv, nn.Conv2d) or not is_plain(conv):
            continue
        chain, inputs = [node], [node.args[0]]
        after, norm = user(node), part(user(node))
        if after is not None and type(norm) is nn.BatchNorm2d and norm.running_mean is not None:
            conv = fuse_conv_bn_eval(conv, norm)
            chain.append(after)
            after = user(after)
        if conv.weight.device.type == "cpu" and has_onednn(dtype):
            if after is not None and after.target in SUMS and len(after.all_input_nodes) == 2 and not after.kwargs:
                cut_off = user(after)
                if cut_off is not None and is_relu(cut_off):
                    inputs += [one for one in after.args if one is not chain[-1]]
                    chain += [after, cut_off]
            elif after is not None and is_relu(after):
                chain.append(after)
            conv = FusedConv(conv, is_relu(chain[-1]), dtype)
        name = f"fused_{node.name}"
        module.add_submodule(name, conv)
        with graph.inserting_after(chain[-1]):
            made = graph.call_module(name, tuple(inputs))
        chain[-1].replace_all_uses_with(made)
        last = made if chain[-1] is last else last
        for one in reversed(chain):
            graph.erase_node(one)
    module.delete_all_unused_submodules()
    module.recompile()
    return module, last


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
