"""What an attack climbs: functions of logits (B, K) and classes (B,) with a value for each image, (B,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Objective = Callable[[Tensor, Tensor], Tensor]
Name = Literal["cross_entropy", "margin", "dlr"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy; targets may also be probabilities (B, K)."""
    return F.cross_entropy(logits, targets, reduction="none")


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """The largest other logit minus that of the class: positive where the class is lost (Carlini and Wagner 2017)."""
    own = logits.gather(1, targets.unsqueeze(1))
    others = logits.scatter(1, targets.unsqueeze(1), -torch.inf)
    return others.amax(dim=1) - own.squeeze(1)


def dlr(logits: Tensor, targets: Tensor) -> Tensor:
    """Difference of logits ratio (Croce and Hein 2020): the margin over the distance of the first and third logit.

    It does not change when all logits are shifted or scaled. Two classes have no third logit: there it is the margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, targets)
    first, _, third = logits.topk(3, dim=1).values.unbind(1)
    return margin(logits, targets) / (first - third + 1e-12)


OBJECTIVES: dict[str, Objective] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}
