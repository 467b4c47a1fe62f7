"""The inputs that an attack may choose from: a ball around each one, cut with the box of values in [0,1].

Inputs are images (B, C, H, W), or any other floats (B, ...) in [0,1], such as points (B, D); a pixel is any of their
numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Self

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


class Ball(ABC):
    """The balls of one radius around images, float (B, ...) in [0,1], within the box.

    Rounding may leave a ball by less than 1e-6; the box is never left.

    Args:
        centre: the images.
        eps: the radius, in units of a pixel's range.
    """

    def __init__(self, centre: Tensor, eps: float) -> None:
        self.centre, self.eps = centre, eps

    def select(self, rows: Tensor) -> Self:
        """The balls around these images alone."""
        return type(self)(self.centre.index_select(0, rows), self.eps)

    def sample(self) -> Tensor:
        """A random image of each ball, in the box."""
        return self.project_(self.noisy())

    @abstractmethod
    def noisy(self) -> Tensor:
        """The centres with noise that is uniform in the ball; pixels may leave the box."""

    @abstractmethod
    def project_(self, images: Tensor) -> Tensor:
        """Bring images back into ball and box, in place."""

    @abstractmethod
    def ascend(self, images: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """Images after a step of this size along the steepest ascent in the ball's norm, back in ball and box."""


class LInf(Ball):
    """No pixel changes by more than ``eps``."""

    def __init__(self, centre: Tensor, eps: float) -> None:
        super().__init__(centre, eps)
        self.lower, self.upper = (centre - eps).clamp_(min=0), (centre + eps).clamp_(max=1)

    def select(self, rows: Tensor) -> Self:
        """The balls around these images alone."""
        chosen = type(self).__new__(type(self))
        chosen.eps = self.eps
        for name in ("centre", "lower", "upper"):
            setattr(chosen, name, getattr(self, name).index_select(0, rows))
        return chosen

    def noisy(self) -> Tensor:
        """Every pixel on its own."""
        return torch.empty_like(self.centre).uniform_(-self.eps, self.eps).add_(self.centre)

    def project_(self, images: Tensor) -> Tensor:
        """Clamp every pixel."""
        return torch.clamp(images, self.lower, self.upper, out=images)

    def ascend(self, images: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """A step along the sign of the gradient."""
        return self.project_(gradient.sign().mul_(size).add_(images))


class L2(Ball):
    """The Euclidean length of the change is at most ``eps``."""

    def noisy(self) -> Tensor:
        """A random direction, and a radius whose distribution is that of a volume."""
        count, size = len(self.centre), self.centre[0].numel()
        noise = torch.randn_like(self.centre)
        radius = torch.rand(count, device=noise.device).pow_(1 / size) * self.eps
        return noise * per_image(radius / length(noise), noise) + self.centre

    def project_(self, images: Tensor) -> Tensor:
        """Shorten the change, then clamp: that never lengthens it."""
        change = images.sub_(self.centre)
        change.mul_(per_image((self.eps / length(change).clamp_(min=1e-12)).clamp_(max=1), change))
        return change.add_(self.centre).clamp_(0, 1)

    def ascend(self, images: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """A step along the gradient brought to length 1; none where it is zero."""
        norm = length(gradient)
        unit = gradient * per_image(torch.where(norm > 0, 1 / norm, 0.0), gradient)
        return self.project_(unit.mul_(size).add_(images))


def ball(norm: Norm, centre: Tensor, eps: float) -> Ball:
    """The balls of a norm, ``linf`` or ``l2``, around images."""
    return LInf(centre, eps) if norm == "linf" else L2(centre, eps)


def length(change: Tensor) -> Tensor:
    """Euclidean length for each image of a batch, (B,)."""
    lengths: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
    return lengths


def largest(change: Tensor) -> Tensor:
    """The largest absolute value for each image of a batch, (B,)."""
    return change.abs().flatten(1).amax(dim=1)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) in a shape (B, 1, ...) that combines with a batch (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
