"""A network as a chain of steps that bounds can be sent through."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.model.group_sort import GroupSort
from dlrun.model.normalized import Normalized

KNOWN = "Linear, Conv2d, ReLU, GroupSort, Flatten, AvgPool2d, AdaptiveAvgPool2d(1), BatchNorm1d, BatchNorm2d"


class Step:
    """One of a chain."""


class Rectify(Step):
    """ReLU."""


@dataclass
class Sort(Step):
    """Sorting within groups of channels: a permutation, so it changes no distance. Bounds of single units stop here."""

    layer: nn.Module


class Affine(Step, ABC):
    """A linear map and a shift."""

    @abstractmethod
    def __call__(self, values: Tensor) -> Tensor:
        """The step's output for values (N, ...)."""

    @abstractmethod
    def magnitude(self, radius: Tensor) -> Tensor:
        """The linear map with its weights' absolute values, on half-widths of intervals (N, ...)."""

    @abstractmethod
    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:
        """Coefficients (N, ...) of the output as coefficients of the input; ``shape`` is that of an input."""

    @abstractmethod
    def shift(self, coefficients: Tensor) -> Tensor | float:
        """What the shift adds to a combination of the output with these coefficients, (N,)."""

    @abstractmethod
    def norm(self, norm: str) -> float:
        """An upper bound of the linear map's operator norm, in ``linf`` or ``l2``."""


@dataclass
class Dense(Affine):
    """Weights (out, in)."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, values: Tensor) -> Tensor:  # noqa: D102
        return F.linear(values, self.weight, self.bias)

    def magnitude(self, radius: Tensor) -> Tensor:  # noqa: D102
        return F.linear(radius, self.weight.abs())

    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:  # noqa: D102
        return coefficients @ self.weight

    def shift(self, coefficients: Tensor) -> Tensor | float:  # noqa: D102
        return 0.0 if self.bias is None else coefficients @ self.bias

    def norm(self, norm: str) -> float:  # noqa: D102
        if norm == "linf":
            return float(self.weight.detach().abs().sum(dim=1).max())
        return float(torch.linalg.matrix_norm(self.weight.detach(), 2))


@dataclass
class Conv(Affine):
    """Weights (out, in / groups, k, k)."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def _convolve(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(values, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def __call__(self, values: Tensor) -> Tensor:  # noqa: D102
        return self._convolve(values, self.weight, self.bias)

    def magnitude(self, radius: Tensor) -> Tensor:  # noqa: D102
        return self._convolve(radius, self.weight.abs(), None)

    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:  # noqa: D102
        # Rows and columns of the input that the last place of the kernel leaves over.
        over = [
            shape[axis - 2]
            - (coefficients.shape[axis - 2] - 1) * self.stride[axis]
            + 2 * self.padding[axis]
            - self.dilation[axis] * (self.weight.shape[axis - 2] - 1)
            - 1
            for axis in (0, 1)
        ]
        return F.conv_transpose2d(
            coefficients, self.weight, None, self.stride, self.padding, over, self.groups, self.dilation
        )

    def shift(self, coefficients: Tensor) -> Tensor | float:  # noqa: D102
        return 0.0 if self.bias is None else coefficients.sum(dim=(2, 3)) @ self.bias

    def norm(self, norm: str) -> float:
        """In L2 by the patches: a pixel is in at most ceil(k / stride) of them along each axis."""
        rows = self.weight.detach().flatten(1)
        if norm == "linf":
            return float(rows.abs().sum(dim=1).max())
        patches = [math.ceil(self.weight.shape[axis + 2] / self.stride[axis]) for axis in (0, 1)]
        if self.dilation != (1, 1):
            patches = list(self.weight.shape[2:])
        largest = max(float(torch.linalg.matrix_norm(group, 2)) for group in rows.chunk(self.groups))
        return math.sqrt(math.prod(patches)) * largest


@dataclass
class Scale(Affine):
    """A factor and a shift for each channel, (C,), of values (N, C, ...)."""

    factor: Tensor
    offset: Tensor

    def __call__(self, values: Tensor) -> Tensor:  # noqa: D102
        return values * along(self.factor, values) + along(self.offset, values)

    def magnitude(self, radius: Tensor) -> Tensor:  # noqa: D102
        return radius * along(self.factor, radius).abs()

    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:  # noqa: D102
        return coefficients * along(self.factor, coefficients)

    def shift(self, coefficients: Tensor) -> Tensor | float:  # noqa: D102
        return (coefficients * along(self.offset, coefficients)).flatten(1).sum(dim=1)

    def norm(self, norm: str) -> float:  # noqa: D102
        return float(self.factor.abs().max())


class Flat(Affine):
    """Images to vectors."""

    def __call__(self, values: Tensor) -> Tensor:  # noqa: D102
        return values.flatten(1)

    def magnitude(self, radius: Tensor) -> Tensor:  # noqa: D102
        return radius.flatten(1)

    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:  # noqa: D102
        return coefficients.view(-1, *shape)

    def shift(self, coefficients: Tensor) -> Tensor | float:  # noqa: D102
        return 0.0

    def norm(self, norm: str) -> float:  # noqa: D102
        return 1.0


@dataclass
class AveragePool(Affine):
    """Means over windows, or over the whole image where there is no kernel."""

    kernel: tuple[int, int] | None
    stride: tuple[int, int]
    padding: tuple[int, int]

    def _conv(self, shape: torch.Size, like: Tensor) -> Conv:
        height, width = self.kernel or (shape[-2], shape[-1])
        weight = like.new_full((shape[-3], 1, height, width), 1 / (height * width))
        return Conv(weight, None, self.stride, self.padding, groups=shape[-3])

    def __call__(self, values: Tensor) -> Tensor:  # noqa: D102
        return self._conv(values.shape, values)(values)

    def magnitude(self, radius: Tensor) -> Tensor:  # noqa: D102
        return self(radius)

    def adjoint(self, coefficients: Tensor, shape: torch.Size) -> Tensor:  # noqa: D102
        return self._conv(shape, coefficients).adjoint(coefficients, shape)

    def shift(self, coefficients: Tensor) -> Tensor | float:  # noqa: D102
        return 0.0

    def norm(self, norm: str) -> float:
        """1: a mean changes no more than what it is of, and where windows do not overlap less."""
        if self.kernel is None or norm == "linf":
            return 1.0
        overlap = [math.ceil(size / step) for size, step in zip(self.kernel, self.stride, strict=True)]
        return math.sqrt(math.prod(overlap) / math.prod(self.kernel))


def steps(model: nn.Module) -> list[Step]:
    """The chain of a network; its tensors are the network's own, so that gradients reach them.

    Normalisation layers count with their running statistics, dropout with nothing, as in evaluation mode.

    Args:
        model: a :class:`~dlrun.model.normalized.Normalized` network, or a plain one, of nested Sequentials.

    Raises:
        UserError: names the layer that has no step.
    """
    return list(_steps(model, ""))


def _steps(module: nn.Module, name: str) -> Iterator[Step]:
    if isinstance(module, Normalized):
        if module.normalizes:
            yield Scale(1 / module.std.flatten(), (-module.mean / module.std).flatten())
        yield from _steps(module.network, "")
    elif type(module).forward is nn.Sequential.forward:
        for child, layer in module.named_children():
            yield from _steps(layer, f"{name}.{child}".lstrip("."))
    elif isinstance(module, nn.Linear):
        yield Dense(module.weight, module.bias)
    elif isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        stride, padding, dilation = map(_pair, (module.stride, module.padding, module.dilation))
        yield Conv(module.weight, module.bias, stride, padding, dilation, module.groups)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.running_mean is not None:
        assert module.running_var is not None
        factor = (module.weight if module.affine else 1.0) / torch.sqrt(module.running_var + module.eps)
        offset = (module.bias if module.affine else 0.0) - module.running_mean * factor
        yield Scale(factor, offset)
    elif isinstance(module, nn.AvgPool2d) and _plain(module):
        yield AveragePool(_pair(module.kernel_size), _pair(module.stride), _pair(module.padding))
    elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        yield AveragePool(None, (1, 1), (0, 0))
    elif isinstance(module, nn.ReLU):
        yield Rectify()
    elif isinstance(module, GroupSort):
        yield Sort(module)
    elif isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        yield Flat()
    elif not isinstance(module, (nn.Identity, nn.Dropout, nn.Dropout2d)):
        where = f" ({name})" if name else ""
        raise UserError(f"model: certify cannot handle {type(module).__name__}{where}; it knows {KNOWN}")


def along(channels: Tensor, values: Tensor) -> Tensor:
    """Numbers of the channels, (C,), in a shape that broadcasts with values (N, C, ...)."""
    return channels.view(-1, *[1] * (values.ndim - 2))


def _plain(pool: nn.AvgPool2d) -> bool:
    """Whether every window has the same divisor."""
    return (
        not pool.ceil_mode and pool.divisor_override is None and (pool.count_include_pad or pool.padding in (0, (0, 0)))
    )


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
