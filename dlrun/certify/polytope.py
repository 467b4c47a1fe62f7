"""The convex outer polytope: linear bounds, sent from the outputs back to the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.certify.interval import Box, step_box
from dlrun.certify.step import Affine, Rectify, Step

NUMBERS = 2**24
"""Coefficients to hold at a time: 128 MiB in double precision."""


def backward(steps: list[Step], boxes: list[Box], coefficients: Tensor, begin: int, end: int) -> Box:
    """Bounds of linear combinations of what comes before step ``end``, over the box before step ``begin``.

    A ReLU whose input may have either sign lies in a triangle, the convex hull of its graph over [l, u]. Its upper
    edge is the line of slope u / (u - l) through (l, 0), and the line of the same slope through the origin lies below:
    this choice makes the bound that of Wong and Kolter's dual network (ICML 2018, theorem 1;
    002_650a5abb4bbbf8e1.txt, convex outer polytope), which Fast-Lin (Weng et al. 2018) arrives at without duality.
    CROWN (Zhang et al. 2018) chooses a lower line of slope 0 or 1 for each unit instead. As the two lines are parallel,
    lower and upper bounds have the same coefficients, and one pass serves both.

    Args:
        steps: the chain.
        boxes: before each step, those before ReLUs as tight as known.
        coefficients: (B, M, ...), M combinations for each image.
        begin: the step before which the combinations are bounded unit by unit.
        end: the step before which they are given.

    Returns:
        Bounds (B, M).
    """
    images, count = coefficients.shape[:2]
    low = high = coefficients.new_zeros(images, count)
    for step, box in zip(reversed(steps[begin:end]), reversed(boxes[begin:end]), strict=True):
        if isinstance(step, Rectify):
            slope, gap = (each.unsqueeze(1) for each in triangle(box))
            low = low + (coefficients.clamp(max=0) * gap).flatten(2).sum(dim=2)
            high = high + (coefficients.clamp(min=0) * gap).flatten(2).sum(dim=2)
            coefficients = coefficients * slope
        else:
            assert isinstance(step, Affine)
            flat = coefficients.flatten(0, 1)
            shift = step.shift(flat)
            if isinstance(shift, Tensor):
                low, high = low + shift.view(images, count), high + shift.view(images, count)
            coefficients = step.adjoint(flat, box.lower.shape[1:]).view(images, count, *box.lower.shape[1:])
    coefficients, box = coefficients.flatten(2), boxes[begin]
    middle = torch.einsum("bmi,bi->bm", coefficients, box.middle.flatten(1))
    radius = torch.einsum("bmi,bi->bm", coefficients.abs(), box.radius.flatten(1))
    return Box(low + middle - radius, high + middle + radius)


def triangle(box: Box) -> tuple[Tensor, Tensor]:
    """Slope of both lines around ReLU, and how far the upper one lies above the lower; (1, 0) and (0, 0) if stable."""
    lower, upper = box
    unstable = (lower < 0) & (upper > 0)
    width = torch.where(unstable, upper - lower, 1.0)  # no division by 0 that a gradient could meet
    slope = torch.where(unstable, upper / width, (lower >= 0).to(lower.dtype))
    return slope, torch.where(unstable, -lower * slope, 0.0)


def polytope(steps: list[Step], box: Box) -> list[Box]:
    """The boxes before each step and after the last, those before ReLUs by linear bounds where these are tighter.

    Units whose sign the intervals tell already are left to them: their bounds do not matter.
    """
    boxes, seen_relu = [box], False
    for place, step in enumerate(steps):
        if isinstance(step, Rectify):
            if seen_relu:  # before the first one, intervals are exact
                boxes[place] = _tighter(steps, boxes, place)
            seen_relu = True
        boxes.append(step_box(step, boxes[place]))
    return boxes


def _tighter(steps: list[Step], boxes: list[Box], place: int) -> Box:
    """The box before a ReLU, with linear bounds for the units of either sign in any of the images."""
    lower, upper = boxes[place]
    shape = lower.shape
    units = ((lower < 0) & (upper > 0)).flatten(1).any(dim=0).nonzero().flatten()
    widest = max(box.lower[0].numel() for box in boxes[: place + 1])
    lower, upper = lower.flatten(1), upper.flatten(1)
    for some in torch.split(units, max(1, NUMBERS // (widest * len(lower)))):
        one_hot = torch.zeros(len(some), lower.shape[1], dtype=lower.dtype, device=lower.device)
        one_hot[torch.arange(len(some), device=some.device), some] = 1
        bounds = backward(steps, boxes, one_hot.view(1, -1, *shape[1:]).expand(shape[0], -1, *shape[1:]), 0, place)
        lower = lower.index_copy(1, some, torch.maximum(lower[:, some], bounds.lower))
        upper = upper.index_copy(1, some, torch.minimum(upper[:, some], bounds.upper))
    return Box(lower.view(shape), upper.view(shape))


def margins(steps: list[Step], boxes: list[Box], targets: Tensor, linear: bool) -> Tensor:
    """Lower bounds of the logit of the class minus each logit, (B, K); 0 for the class itself.

    Args:
        steps: the chain.
        boxes: by :func:`interval` or :func:`polytope`.
        targets: int64 (B,).
        linear: go back to the pixels; else only to the last ReLU, as interval bounds do.
    """
    logits = boxes[-1].lower
    classes = logits.shape[1]
    identity = torch.eye(classes, dtype=logits.dtype, device=logits.device)
    coefficients = identity[targets].unsqueeze(1) - identity
    relus = [place + 1 for place, step in enumerate(steps) if isinstance(step, Rectify)]
    begin = 0 if linear or not relus else relus[-1]
    return backward(steps, boxes, coefficients, begin, len(steps)).lower
