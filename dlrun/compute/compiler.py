"""Torch's compiler, which the first optimizer imports, also where nothing is compiled: a second and a half."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

MARK = "__dynamo_disable"
"""Where ``torch._compile`` keeps what it calls in the place of a method, once it has asked the compiler for it."""
WRAPPER = "_use_grad"
"""The function around every optimizer's step that asks the compiler to break its graph there."""


def spare(unless: bool = False) -> None:
    """Let torch's optimizers call their own methods without asking the compiler how to be left out of what it compiles.

    That is right where no compiled function calls an optimizer, as none of dlrun's does. Where another version of torch
    does this in another way, nothing changes.

    Args:
        unless: the compiler is wanted.
    """
    if unless:
        return
    for method in vars(torch.optim.Optimizer).values():
        wrapper, inner = getattr(method, "__code__", None), getattr(method, "__wrapped__", None)
        if wrapper is not None and inner is not None and wrapper.co_filename == torch._compile.__file__:
            inner.__dict__.setdefault(MARK, inner)
    for kind in torch.optim.Optimizer.__subclasses__():
        step: Any = kind.step
        if getattr(getattr(step, "__code__", None), "co_name", None) == WRAPPER and hasattr(step, "__wrapped__"):
            kind.step = _uncompiled(step.__wrapped__)  # type: ignore[method-assign]


def _uncompiled(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step with the gradients that torch lets it have."""

    @wraps(step)
    def call(self: torch.optim.Optimizer, *arguments: Any, **options: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *arguments, **options)

    return call
