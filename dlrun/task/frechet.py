"""The Frechet distance between two clouds of points."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet(one: Tensor, other: Tensor) -> float:
    """The squared Frechet distance between normal distributions fitted to points (N, D) and (M, D).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``; the last trace is the sum of the square roots of the eigenvalues of
    ``C1^(1/2) C2 C1^(1/2)`` (Dowson and Landau 1982). 0 for equal clouds.
    """
    one, other = one.double(), other.double()
    mean = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    first, second = torch.cov(one.T), torch.cov(other.T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float(mean + first.trace() + second.trace() - 2 * shared)
