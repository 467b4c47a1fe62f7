"""torchvision's networks take three channels; this changes that."""

from __future__ import annotations

from torch import nn


def set_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by a new one for images of so many channels, where it has another number."""
    name, conv = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if conv.in_channels != channels:
        network.set_submodule(name, like(conv, in_channels=channels))


def like(conv: nn.Conv2d, **changes: int) -> nn.Conv2d:
    """A new convolution with the arguments of another, but for the given changes; weights by He's rule."""
    arguments = {
        name: getattr(conv, name)
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    }
    new = nn.Conv2d(**(arguments | changes), bias=conv.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new
