"""Interval bounds: every unit on its own between two numbers (Gowal et al. 2018)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from dlrun.certify.step import Affine, Rectify, Sort, Step
from dlrun.errors import UserError


class Box(NamedTuple):
    """Lower and upper bounds, (B, ...) each."""

    lower: Tensor
    upper: Tensor

    @property
    def middle(self) -> Tensor:
        """Half-way."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Half of the width."""
        return (self.upper - self.lower) / 2


def around(images: Tensor, eps: float) -> Box:
    """All images with no pixel further than ``eps`` from these, float (B, C, H, W), in [0,1]."""
    return Box((images - eps).clamp(min=0), (images + eps).clamp(max=1))


def step_box(step: Step, box: Box) -> Box:
    """What a step makes of a box.

    Raises:
        UserError: the step is none that single units can be bounded through.
    """
    if isinstance(step, Rectify):
        return Box(box.lower.clamp(min=0), box.upper.clamp(min=0))
    if isinstance(step, Sort):
        raise UserError("method: GroupSort has a Lipschitz constant, but no such bounds; expected method=lipschitz")
    assert isinstance(step, Affine)
    middle, radius = step(box.middle), step.magnitude(box.radius)
    return Box(middle - radius, middle + radius)


def interval(steps: list[Step], box: Box) -> list[Box]:
    """The boxes before each step, and after the last one."""
    boxes = [box]
    for step in steps:
        boxes.append(step_box(step, boxes[-1]))
    return boxes
