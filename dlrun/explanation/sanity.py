"""The sanity check of explanations: they must change with the weights (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn


def cascade(model: nn.Module, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """A copy of a model whose layers lose what they learned, from the top down, one after the other.

    Yields:
        The name of the layer that was drawn anew last, and the copy, which has all above it random too.
    """
    copy = deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, unit in reversed(list(_units(copy))):
            for module in unit.modules():
                _reset(module)
            yield name, copy


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's correlation of two sets of maps (B, T, h, w), one by one: (B, T).

    Of a constant map it is not defined: 1 where the other is the same, else 0.
    """
    pairs = zip(maps.flatten(2).flatten(0, 1).cpu(), others.flatten(2).flatten(0, 1).cpu(), strict=True)
    found = [
        float(spearmanr(one.numpy(), other.numpy()).statistic)
        if one.std() > 0 and other.std() > 0
        else float(torch.equal(one, other))
        for one, other in pairs
    ]
    return torch.tensor(found).view(maps.shape[:2])


def _units(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers and blocks with weights, from the bottom up: sequences and the network itself are opened."""
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        if isinstance(child, nn.Sequential) or child_name == "network":
            yield from _units(child, "" if child_name == "network" else full)
        elif any(True for _ in child.parameters()):
            yield full, child


def _reset(module: nn.Module) -> None:
    """Draw a module's own parameters anew, by its own rule if it has one."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    else:
        for parameter in module.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)
