"""A layer of a model: found by name or by itself, its output, and the gradient of class scores in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.errors import UserError, suggest
from dlrun.model.frozen import frozen
from dlrun.model.inference import inference
from dlrun.model.logits import class_scores
from dlrun.model.normalized import Normalized

POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)


def own(model: nn.Module) -> nn.Module:
    """The network of its author, without the wrappers around it."""
    while isinstance(model, Normalized) or hasattr(model, "_orig_mod"):
        model = model.network if isinstance(model, Normalized) else model._orig_mod  # type: ignore[assignment]
    return model


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network by dotted name, as its own author would write it."""
    return {name: module for name, module in own(model).named_modules() if name}


@contextmanager
def hooks(modules: list[nn.Module], hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Forward hooks on modules, which are gone afterwards whatever happened."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def cut(model: nn.Module, images: Tensor, layer: str | None) -> tuple[Tensor, Tensor]:
    """Run a model whose graph begins at the output of a layer: what is below it is not differentiated, nor kept.

    Args:
        model: gives class scores.
        images: float (B, C, H, W) in [0,1].
        layer: its dotted name; None finds the last feature map.

    Returns:
        The layer's output, a leaf of the graph, (B, C, h, w) or (B, tokens, C), and the class scores, (B, K). Of a
        module that is called more than once it is the last output.

    Raises:
        UserError: no such layer, or the scores do not depend on it.
    """
    layer = find(model, images) if layer is None else layer
    module = named(model, layer)
    leaves: list[Tensor] = []

    def begin_graph(output: Any) -> Any:
        torch.set_grad_enabled(True)  # until the end of the no_grad below
        leaves[:] = [_tensor(output).detach().requires_grad_()]
        copy = leaves[0].clone()  # which a ReLU may change in place
        return (copy, *output[1:]) if isinstance(output, tuple) else copy

    with frozen(model), torch.no_grad(), inference(model, module, begin_graph):
        scores = class_scores(model(_in_type_of(model, images)))
    if not leaves or not scores.requires_grad:
        raise UserError(f"explainer.layer={layer}: the class scores do not depend on it; {_candidates(model, images)}")
    return leaves[0], scores


def gradients(leaf: Tensor, scores: Tensor, classes: Tensor) -> Iterator[Tensor]:
    """The gradient of each image's score in a layer's output, shaped like it, for one class (column) after another."""
    columns = classes.to(scores.device).unsqueeze(-1).unbind(dim=1)
    for number, column in enumerate(columns):
        chosen = torch.zeros_like(scores).scatter_(1, column, 1.0)
        (gradient,) = torch.autograd.grad(
            scores, leaf, chosen, retain_graph=number + 1 < len(columns), materialize_grads=True
        )
        yield gradient.float()


def grid(output: Tensor, layer: str | None = None) -> Tensor:
    """A layer's output as a grid of features (B, C, h, w): that of a transformer is laid out without its class token.

    Raises:
        UserError: it has no spatial extent.
    """
    shaped = _as_grid(output)
    if shaped is None:
        found = "x".join(map(str, output.shape[1:]))
        raise UserError(
            f"explainer.layer={layer}: its output ({found}) has no spatial extent; expected a layer with a feature map"
        )
    return shaped


def named(model: nn.Module, layer: str) -> nn.Module:
    """The module of this dotted name.

    Raises:
        UserError: there is none; lists those beside it.
    """
    known = layers(model)
    if layer in known:
        return known[layer]
    parent = layer
    while parent and parent not in known:
        parent = parent.rpartition(".")[0]
    prefix = f"{parent}." if parent else ""
    beside = [name for name in known if name.startswith(prefix) and "." not in name.removeprefix(prefix)]
    raise UserError(f"explainer.layer={layer}: no such module; {suggest(layer, beside or known)}")


def find(model: nn.Module, images: Tensor) -> str:
    """The last feature map: of a convolutional network before it is pooled, of a transformer what its score depends on.

    The tokens that leave the last block of a ViT do not reach the score, for its head reads the class token alone: so
    the layer is the last one in whose grid the score has a gradient.

    Raises:
        UserError: the model has no feature map.
    """
    outputs = feature_maps(model, images[:1])
    name = next((name for name in reversed(outputs) if outputs[name].ndim == 4), None)
    if outputs and outputs[next(reversed(outputs))].ndim == 3:
        name = next((name for name in reversed(outputs) if _reaches(model, images[:1], name)), name)
    if name is None:
        raise UserError(
            f"explainer: {type(own(model)).__name__} has no layer with a spatial extent; expected a convolutional"
            " network or a vision transformer, or an explainer of pixels (saliency, occlusion)"
        )
    return name


def feature_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The outputs of all layers that have a spatial extent, by name in the order in which they come about.

    Layers that only pool, and containers that hand on what pooling left, are not among them.
    """
    names = {module: name for name, module in layers(model).items()}
    outputs: dict[str, Tensor] = {}
    pooled: list[Tensor] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or _as_grid(output) is None:
            return
        if isinstance(module, POOLING) or any(output is other for other in pooled):
            pooled.append(output)
        else:
            outputs.pop(names[module], None)
            outputs[names[module]] = output

    with frozen(model), hooks(list(names), note), torch.no_grad():
        model(_in_type_of(model, images))
    return outputs


def _reaches(model: nn.Module, images: Tensor, layer: str) -> bool:
    """Whether the scores have a gradient in the grid of a layer."""
    leaf, scores = cut(model, images, layer)
    (gradient,) = torch.autograd.grad(scores.sum(), leaf, materialize_grads=True)
    return bool(grid(gradient).any())


def _as_grid(output: Tensor) -> Tensor | None:
    if output.ndim == 3:
        side = math.isqrt(output.shape[1])
        tokens = output[:, output.shape[1] - side**2 :]  # before them the class token, and registers
        output = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
    return output if output.ndim == 4 and output.shape[2:].numel() > 1 else None


def _candidates(model: nn.Module, images: Tensor) -> str:
    return suggest("", feature_maps(model, images[:1]))


def _tensor(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def _in_type_of(model: nn.Module, images: Tensor) -> Tensor:
    """Images in the number format of the model's weights."""
    return images.to(next((parameter.dtype for parameter in model.parameters()), images.dtype))
