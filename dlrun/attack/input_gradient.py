"""A faster gradient with respect to images, for convolutions with few input channels on a CPU.

The libraries behind torch give a convolution with one or three input channels (a network's first) a backward pass that
leaves most of the processor's vector lanes empty; in an attack on a small network it takes half of the time. The same
numbers come out of a forward convolution of the outer gradient: one that computes squares of S x S pixels at once, as
S * S channels, with the kernel at S * S places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 3
"""Input channels up to which this is the faster way."""
LANES = 16
"""Numbers that a processor's vector instruction works on."""


@contextmanager
def fast_input_gradients(model: nn.Module) -> Iterator[None]:
    """Meanwhile, convolutions of the model for which this is faster have such a backward pass; parameters get none."""
    changed = [module for module in model.modules() if isinstance(module, nn.Conv2d) and suits(module)]
    for conv in changed:
        conv.forward = partial(forward, conv)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for conv in changed:
            del conv.forward


def suits(conv: nn.Conv2d) -> bool:
    """Whether a convolution has few input channels, is dense and of stride 1, and on the CPU."""
    return (
        type(conv).forward is nn.Conv2d.forward
        and conv.in_channels <= FEW
        and (conv.stride, conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), (1, 1), 1, "zeros")
        and not isinstance(conv.padding, str)
        and conv.padding[0] == conv.padding[1] < conv.kernel_size[0] == conv.kernel_size[1]
        and conv.weight.device.type == "cpu"
    )


def forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """The convolution; its gradient is the fast one where the images' size allows it."""
    fits = [size for size in (4, 2, 1) if conv.in_channels * size**2 <= LANES]
    square = next(size for size in fits if images.shape[-2] % size == images.shape[-1] % size == 0)
    apply: Callable[..., Tensor] = FewChannels.apply
    return apply(images, conv.weight, conv.bias, conv.padding[0], square)


class FewChannels(torch.autograd.Function):
    """A convolution of stride 1 with a gradient for its input alone."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: int, square: int) -> Tensor:
        """Images (B, C, H, W), H and W divisible by ``square``."""
        ctx.save_for_backward(weight)
        ctx.padding, ctx.square = padding, square
        return F.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """The outer gradient, convolved with the mirrored kernel at every place of a square."""
        (weight,) = ctx.saved_tensors
        square, side = ctx.square, weight.shape[-1]
        mirrored = weight.flip(2, 3).transpose(0, 1)
        places = [F.pad(mirrored, (x, square - 1 - x, y, square - 1 - y)) for y in range(square) for x in range(square)]
        kernels = torch.stack(places, dim=1).flatten(0, 1)
        pixels = F.conv2d(gradient, kernels, stride=square, padding=side - 1 - ctx.padding)
        return F.pixel_shuffle(pixels, square), None, None, None, None
