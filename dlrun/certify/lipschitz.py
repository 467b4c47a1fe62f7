"""Certificates from the margin and the network's Lipschitz constant (002_650a5abb4bbbf8e1.txt, Lipschitz networks)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlrun.attack.ball import Norm
from dlrun.certify.step import Affine, Step


def constant(steps: list[Step], norm: Norm) -> float:
    """An upper bound of the network's Lipschitz constant from pixels to logits: the product over its steps.

    ReLU and sorting change no distance by more than they are given, in either norm.
    """
    return math.prod(step.norm(norm) for step in steps if isinstance(step, Affine))


def radius(logits: Tensor, targets: Tensor, lipschitz: float, norm: Norm) -> Tensor:
    """The distance in pixel space within which the class is certain, (B,); negative where it is wrong already.

    One logit moves by at most ``lipschitz`` times the distance, so the difference of two by twice that; in L2 both move
    together, and it is the square root of 2.

    Args:
        logits: float (B, K).
        targets: int64 (B,).
        lipschitz: from pixels to logits, in the norm.
        norm: ``linf`` or ``l2``.
    """
    own = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, targets.unsqueeze(1), -torch.inf).amax(dim=1)
    return (own - others) / ((2 if norm == "linf" else math.sqrt(2)) * lipschitz)
