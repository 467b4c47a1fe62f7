"""A faster gradient with respect to images, for convolutions with few input channels on a CPU.

The libraries behind torch give a convolution with one or three input channels (a network's first) a backward pass that
leaves most of the processor's vector lanes empty; in an attack on a small network it takes half of the time. The same
numbers come out of a forward convolution of the outer gradient: one that computes squares of S x S pixels at once, as
S * S channels, with the kernel at S * S places. Used through :mod:`dlrun.model.inference` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 3
"""Input channels up to which this is the faster way."""
LANES = 16
"""Numbers that a processor's vector instruction works on."""


def suits(conv: nn.Conv2d) -> bool:
    """Whether a convolution has few input channels, is plain, and on the CPU."""
    return (
        type(conv).forward is nn.Conv2d.forward
        and conv.in_channels <= FEW
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
        and not isinstance(conv.padding, str)
        and conv.padding[0] == conv.padding[1] < conv.kernel_size[0] == conv.kernel_size[1]
        and conv.stride[0] == conv.stride[1]
        and conv.weight.device.type == "cpu"
    )


def forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """The convolution, with the fast gradient where the images' size allows it, and no weight asks for one too."""
    stride = conv.stride[0]
    wanted = torch.is_grad_enabled() and images.requires_grad and not conv.weight.requires_grad
    for square in (4, 2, 1) if wanted else ():
        fits = images.shape[-2] % square == images.shape[-1] % square == square % stride == 0
        if fits and conv.in_channels * square**2 <= LANES:
            apply: Callable[..., Tensor] = FewChannels.apply
            return apply(images, conv.weight, conv.bias, stride, int(conv.padding[0]), square)
    return F.conv2d(images, conv.weight, conv.bias, conv.stride, conv.padding)


class FewChannels(torch.autograd.Function):
    """A convolution with a gradient for its input alone."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, square: int
    ) -> Tensor:
        """Images (B, C, H, W), H and W divisible by ``square``, which the stride divides."""
        ctx.save_for_backward(weight)
        ctx.size, ctx.dtype = images.shape[-2:], images.dtype
        ctx.stride, ctx.padding, ctx.square = stride, padding, square
        return F.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        """The outer gradient, convolved with the kernel mirrored at every place of a square."""
        (weight,) = ctx.saved_tensors
        square, stride, side = ctx.square, ctx.stride, weight.shape[-1]
        # Pixel a of a square has met the kernel's entry u in the output that lies t places from the square's first.
        met = {
            (a, u): (a + ctx.padding - u) // stride
            for a in range(square)
            for u in range(side)
            if (a + ctx.padding - u) % stride == 0
        }
        first, last = min(met.values()), max(met.values())
        place = weight.new_zeros(square, last - first + 1, side)
        for (a, u), t in met.items():
            place[a, t - first, u] = 1
        kernels = torch.einsum("ocuv,asu,btv->cabost", weight, place, place).flatten(0, 2).to(gradient.dtype)
        over = [
            (size - square) // stride + last + 1 - length
            for size, length in zip(ctx.size, gradient.shape[-2:], strict=True)
        ]
        gradient = F.pad(gradient, (-first, over[1], -first, over[0]))
        pixels = F.conv2d(gradient, kernels, stride=square // stride)
        return F.pixel_shuffle(pixels, square).to(ctx.dtype), None, None, None, None, None
