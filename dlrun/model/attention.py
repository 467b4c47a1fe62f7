"""Scaled dot-product attention, with its weights to look at."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def attend(queries: Tensor, keys: Tensor, values: Tensor, there: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each query the mean of the values, weighted by how well their keys agree with it (Vaswani et al. 2017).

    It gives what :func:`torch.nn.functional.scaled_dot_product_attention` gives, which keeps the weights to itself.

    Args:
        queries: float (B, T, D).
        keys: float (B, S, D).
        values: float (B, S, E).
        there: which places hold something, bool (B, S), one or more of each row; None for all. Others get weight 0.

    Returns:
        The means, float (B, T, E), and the weights, float (B, T, S), which sum to 1 for each query.
    """
    scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[-1])
    if there is not None:
        scores = scores.masked_fill(~there.unsqueeze(1), -torch.inf)
    weights = scores.softmax(dim=-1)
    return weights @ values, weights
