"""The model under attack: in evaluation mode, its parameters out of the graph, every look at it counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dlrun.errors import UserError


class Victim:
    """What an attack may ask of a model: logits, and gradients with respect to the images.

    Args:
        model: takes images, float (B, C, H, W) in [0,1]; gives logits (B, K), or (B, 1) for class 1 against 0.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.queries = 0
        """Images that the model has seen, a gradient counted as one look."""

    def logits(self, images: Tensor) -> Tensor:
        """Logits, (B, K) with K of 2 or more."""
        self.queries += len(images)
        with torch.no_grad():
            return two_columns(self.model(images))

    def gradient(self, images: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, values of the objective (B,), and their gradients in the images' shape.

        Raises:
            UserError: no gradient reaches the images.
        """
        self.queries += len(images)
        images = images.detach().requires_grad_()
        with torch.enable_grad():
            logits = two_columns(self.model(images))
            values = objective(logits)
            if not values.requires_grad:
                raise UserError(
                    f"model={type(self.model_inside).__name__}: no gradient reaches the image (an argmax or a"
                    " conversion to integers inside?); expected a differentiable model, or attack=square"
                )
            (gradient,) = torch.autograd.grad(values.sum(), images)
        return logits.detach(), values.detach(), gradient

    @property
    def model_inside(self) -> nn.Module:
        """The network behind its normalisation, for messages."""
        network = getattr(self.model, "network", self.model)
        assert isinstance(network, nn.Module)
        return network


def two_columns(logits: Tensor) -> Tensor:
    """Logits with a column for each class, in full precision: a single one means class 1 against 0."""
    logits = logits.float()
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for parameters; afterwards everything is as before."""
    modes = [(module, module.training) for module in model.modules() if module.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode
