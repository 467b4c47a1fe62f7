"""Torch's compiler, which the first optimizer imports, also where nothing is compiled: a second and a half."""

from __future__ import annotations

import torch

MARK = "__dynamo_disable"
"""Where ``torch._compile`` keeps what it calls in the place of a method, once it has asked the compiler for it."""


def spare(unless: bool = False) -> None:
    """Let torch's optimizers call their own methods without asking the compiler how to be left out of what it compiles.

    That is right where no compiled function calls an optimizer, as none of dlrun's does. Where another version of torch
    does this in another way, nothing changes.

    Args:
        unless: the compiler is wanted.
    """
    for method in () if unless else vars(torch.optim.Optimizer).values():
        wrapper, inner = getattr(method, "__code__", None), getattr(method, "__wrapped__", None)
        if wrapper is not None and inner is not None and wrapper.co_filename == torch._compile.__file__:
            inner.__dict__.setdefault(MARK, inner)
