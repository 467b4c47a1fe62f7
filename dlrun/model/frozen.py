"""What freezing a model means: evaluation mode, and no gradients for its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def freeze(model: Model) -> Model:
    """The model itself, frozen for good."""
    return model.eval().requires_grad_(False)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model frozen and outside of inference mode, so that its input may have a gradient; afterwards as before.

    A compiled model runs as it was written meanwhile: it would run past hooks that it was not compiled with, and be
    compiled again for its new mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        if any(hasattr(module, "_orig_mod") for module, _ in modes):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            freeze(model)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter in trained:
                parameter.requires_grad_(True)
