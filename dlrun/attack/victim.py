"""The model under attack, every look at it counted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.model.logits import class_logits


class Victim:
    """What an attack may ask of a model: logits, and gradients with respect to the images.

    Args:
        model: takes images, float (B, C, H, W), or other inputs (B, ...), in [0,1]; gives logits (B, K), or (B, 1) for
            class 1 against 0.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.queries = 0
        """Images that the model has seen, a gradient counted as one look."""

    def logits(self, images: Tensor) -> Tensor:
        """Logits, (B, K) with K of 2 or more."""
        self.queries += len(images)
        with torch.no_grad():
            return class_logits(self.model(images).float())

    def gradient(self, images: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, values of the objective (B,), and their gradients in the images' shape.

        Raises:
            UserError: no gradient reaches the images.
        """
        self.queries += len(images)
        images = images.detach().requires_grad_()
        with torch.enable_grad():
            logits = class_logits(self.model(images).float())
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
