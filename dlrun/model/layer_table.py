"""What a network is made of: shapes, parameters, operations, receptive fields, found on the meta device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from dlrun.model.tracer import Tracer


@dataclass(frozen=True)
class Layer:
    """A layer in one of its uses.

    Args:
        name: of the module.
        kind: its class.
        shape: of its output for one image.
        parameters: weights and biases; those of a layer that is used again count once.
        trainable: those of them that training changes.
        multiply_adds: for one image; of convolutions, dense layers and attention, biases left out.
        receptive_field: side in pixels of what one output sees, its padding included; None where it sees all there is.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    receptive_field: int | None


@dataclass(frozen=True)
class _Field:
    """A receptive field's side, and the pixels between the fields of two neighbours."""

    side: float
    jump: float


def layers(network: nn.Module, image: Tensor) -> list[Layer]:
    """The layers of a network in the order of their use.

    Args:
        network: on the meta device nothing is allocated or computed.
        image: one image on the same device, (1, C, H, W).

    Raises:
        ValueError: ``torch.fx`` cannot follow the network's code.
    """
    try:
        traced = fx.GraphModule(network, Tracer().trace(network))
    except Exception as error:  # whatever the network's own code raises when it meets a tracer
        raise ValueError(f"cannot be traced ({' '.join(str(error).split())})") from None
    walk = _Walk(traced)
    with torch.inference_mode():
        walk.run(image)
    return walk.layers


class _Walk(fx.Interpreter):
    """Runs a traced network and takes the receptive fields along."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.layers: list[Layer] = []
        self._fields: dict[fx.Node, _Field | None] = {}
        self._seen: set[nn.Module] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; note the field of its output, and the layer if it is one."""
        result = super().run_node(n)
        if n.op == "placeholder":
            self._fields[n] = _Field(1, 1)
            return result
        if n.op == "get_attr":  # a constant, such as the mean of the pixels: it sees no input
            return result
        sources = [node for node in n.all_input_nodes if node in self._fields]
        field = _widest([self._fields[node] for node in sources])
        module = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        before = self.env[sources[0]] if sources else None
        if isinstance(before, Tensor) and isinstance(result, Tensor) and field is not None:
            field = _through(field, module, before, result)
        self._fields[n] = field
        if module is not None and isinstance(result, Tensor):
            self._note(str(n.target), module, before, result, field)
        return result

    def _note(self, name: str, module: nn.Module, before: Any, result: Tensor, field: _Field | None) -> None:
        parameters = [] if module in self._seen else list(module.parameters())
        self._seen.add(module)
        self.layers.append(
            Layer(
                name=name.removeprefix("network."),
                kind=type(module).__name__,
                shape=tuple(result.shape[1:]),
                parameters=sum(parameter.numel() for parameter in parameters),
                trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
                multiply_adds=_multiply_adds(module, before, result),
                receptive_field=None if field is None else round(field.side),
            )
        )


def _widest(fields: list[_Field | None]) -> _Field | None:
    """Where branches meet, an output sees what the widest of them does."""
    known = [field for field in fields if field is not None]
    return max(known, key=lambda field: field.side) if known and len(known) == len(fields) else None


def _through(field: _Field, module: nn.Module | None, before: Tensor, result: Tensor) -> _Field | None:
    """The field behind a layer: ``side + (kernel - 1) dilation jump``; the jump grows with the stride."""
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel, stride = _one(module.kernel_size), _one(module.stride)
        reach = (kernel - 1) * _one(getattr(module, "dilation", 1))
        return _Field(field.side + reach * field.jump, field.jump * stride)
    if isinstance(module, nn.ConvTranspose2d):
        # An output meets every stride-th weight of the kernel, so ceil(kernel / stride) inputs at most.
        stride = _one(module.stride)
        met = math.ceil(_one(module.kernel_size) / stride)
        return _Field(field.side + (met - 1) * field.jump, field.jump / stride)
    if before.ndim == 4 and (result.ndim != 4 or result.shape[2:] != before.shape[2:]):
        return None  # flattened, averaged or pooled over all positions
    return field


def _one(size: Any) -> int:
    """The larger of two sides."""
    return int(max(size)) if isinstance(size, tuple) else int(size)


def _multiply_adds(module: nn.Module, before: Any, result: Tensor) -> int:
    if isinstance(module, nn.Linear):
        return module.in_features * result[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight[0].numel() * int(before[0].numel())
    if isinstance(module, nn.Conv2d):
        return module.weight[0].numel() * result[0].numel()
    if isinstance(module, nn.TransformerEncoderLayer):
        tokens, width = result.shape[1:]
        dense = 4 * width**2 + 2 * width * module.linear1.out_features  # queries, keys, values, output; two layers
        return int(tokens * dense + 2 * tokens**2 * width)  # each token with each other: scores, and their mean
    return 0
