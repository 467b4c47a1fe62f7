"""One rule for the first weights of all layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


class Fill:
    """Fills the weights of every dense and convolutional layer by a rule, and their biases with 0.

    Args:
        weight: the rule, one of ``torch.nn.init``; None leaves all as the layers made it.
    """

    def __init__(self, weight: Callable[[Tensor], Any] | None) -> None:
        self.weight = weight

    def __call__(self, network: nn.Module) -> None:
        """Fill a network."""
        if self.weight is None:
            return
        for layer in network.modules():
            if isinstance(layer, LAYERS):
                self.weight(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
