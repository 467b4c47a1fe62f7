"""The one seam for speed: a model that is only used gives the same, but for rounding, in less time.

Whatever replaces or patches modules for speed is behind these three functions: :func:`inference` and :func:`fast_copy`
for what needs no gradient, :func:`input_gradients` for gradients with respect to images. Where a faster way does not
suit the model (``torch.fx`` cannot follow it, a module has hooks, is in training mode or compiled, the device is no
CPU, the number format is not fp32), the plain model runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dlrun.model import input_gradient
from dlrun.model.fused import Fused, fused

Replace = Callable[[Any], Any]
TOLERANCE = 1e-3
"""How far rounding may move an output, as a share of the largest."""

_kept: WeakKeyDictionary[nn.Module, tuple[list[Any], dict[nn.Module | None, Fused | None]]] = WeakKeyDictionary()
"""For each model the state of its weights, and what was made of it for a layer (None: for all of it)."""


@contextmanager
def inference(model: nn.Module, layer: nn.Module | None = None, replace: Replace | None = None) -> Iterator[None]:
    """Meanwhile, calls of the model run faster where gradients are off, and give the same but for rounding.

    The first such call makes a copy of the convolutions, fused with what follows them, and compares its output for one
    image with the plain model's. It is kept until a weight is changed (in place through ``.data`` goes unnoticed), so
    this is for weights that are used more than once.

    Args:
        model: takes images; stays what it is, inside too.
        layer: one of its modules: all above it is as in the plain model.
        replace: takes the layer's output, and gives what goes on in its place; it may turn gradients on. Of a layer
            that is called more than once only the last call is sure to be seen.
    """
    if layer is not None:
        model = cast(nn.Module, getattr(model, "_orig_mod", model))
    if hasattr(model, "_orig_mod"):  # compiled: fast already, and would be compiled again if it was changed
        yield
        return
    with _patched({model: partial(_forward, model, model.forward, layer, replace)}):
        yield


@contextmanager
def input_gradients(model: nn.Module) -> Iterator[None]:
    """Meanwhile, the model's gradient with respect to images is faster on a CPU where its weights are frozen."""
    suited = [module for module in model.modules() if isinstance(module, nn.Conv2d) and input_gradient.suits(module)]
    with _patched({conv: partial(input_gradient.forward, conv) for conv in suited}):
        yield


def fast_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network for inference alone, on any device and in one number format throughout; warns where it is no faster.

    Args:
        network: frozen; it may be changed, and share tensors with the result.
        dtype: of weights and images.
    """
    made = fused(network, dtype=dtype)
    if made is None:
        warnings.warn("torch.fx cannot follow the network: it runs as it is, not as fast as it could", stacklevel=1)
    return (network if made is None else made.module).to(dtype).to(memory_format=torch.channels_last)


def fast(
    model: nn.Module, images: Tensor, layer: nn.Module | None = None, plain: Callable[..., Any] | None = None
) -> Fused | None:
    """The fused network that runs in the place of a model on these images; None where the plain one does.

    Args:
        model: where gradients are off.
        images: float (B, C, H, W).
        layer: up to which it is fused; None for all of it.
        plain: the plain model's ``forward``, where another one is in its place.
    """
    if not _suits(model, images):
        return None
    state = [(tensor.data_ptr(), tensor._version) for tensor in chain(model.parameters(), model.buffers())]
    if model not in _kept or _kept[model][0] != state:
        _kept[model] = (state, {})
    made = _kept[model][1]
    if layer not in made:
        candidate = fused(model, layer)
        good = (
            candidate is not None
            and candidate.convolutions > 0
            and _same(plain or model.forward, candidate, images[:1])
        )
        made[layer] = candidate if good else None
    return made[layer]


def _forward(
    model: nn.Module,
    plain: Callable[..., Any],
    layer: nn.Module | None,
    replace: Replace | None,
    *args: Any,
    **more: Any,
) -> Any:
    """What runs in the place of a model's ``forward``."""
    if len(args) == 1 and not more and (quick := fast(model, args[0], layer, plain)):
        return quick(_channels_last(args[0]), replace)
    if layer is None or replace is None:
        return plain(*args, **more)
    handle = layer.register_forward_hook(lambda _, __, output: replace(output))
    try:
        return plain(*args, **more)
    finally:
        handle.remove()


def _suits(model: nn.Module, images: Any) -> bool:
    """Whether the fused network may stand for the model on these images."""
    return (
        not torch.is_grad_enabled()
        and type(images) is Tensor  # not what stands for one when something else follows the model
        and images.ndim == 4
        and images.numel() > 0
        and (images.device.type, images.dtype) == ("cpu", torch.float32)
        and not torch.is_autocast_enabled("cpu")
        and any(isinstance(module, nn.Conv2d) for module in model.modules())
        and not any(module.training or _is_hooked(module) for module in model.modules())
        and not any(tensor.is_inference() for tensor in chain(model.parameters(), model.buffers()))
    )


def _is_hooked(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind) for kind in kinds)


def _same(plain: Callable[..., Any], candidate: Fused, image: Tensor) -> bool:
    """Whether a fused network gives what the model gives for an image: code may do what a graph does not show."""
    with torch.random.fork_rng(devices=[]):
        try:
            found, expected = candidate(_channels_last(image)), plain(image)
        except Exception:  # whatever a user's own network does not bear, such as a view of images in this layout
            return False
    if not isinstance(found, Tensor) or not isinstance(expected, Tensor) or found.shape != expected.shape:
        return False
    slack = TOLERANCE * float(expected.abs().nan_to_num().max())
    return torch.allclose(found, expected, rtol=TOLERANCE, atol=slack, equal_nan=True)


def _channels_last(images: Tensor) -> Tensor:
    """Convolutions are faster so."""
    return images.contiguous(memory_format=torch.channels_last)


@contextmanager
def _patched(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Other functions in the place of modules' ``forward``; partial ones, so that a copy of a module calls itself."""
    before = {module: vars(module).get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, own in before.items():
            if own is None:
                del module.forward
            else:
                module.forward = own
