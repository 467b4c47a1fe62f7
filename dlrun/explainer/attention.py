"""Attention of a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.explainer.explainer import Explainer
from dlrun.explainer.layer import grid, layers, own
from dlrun.model.frozen import frozen


@dataclass
class Attention(Explainer):
    """How much the class token attends to each patch, the mean over the heads; the same map for all classes.

    Args:
        rollout: the product over the layers of (attention + identity) / 2, for half of what leaves a layer went past
            its attention (Abnar and Zuidema 2020, attention rollout); False takes the last layer alone.
    """

    rollout: bool = True

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, h, w), a value for each patch.

        Raises:
            UserError: the model has no ``torch.nn.MultiheadAttention``, or its tokens are no square of patches.
        """
        found = attentions(model, images)
        if not found:
            raise UserError(
                f"explainer=attention: {type(own(model)).__name__} has no attention; expected a transformer, model=vit"
            )
        whole = found[-1]
        if self.rollout:
            identity = torch.eye(whole.shape[1], device=whole.device)
            whole = identity.expand_as(whole)
            for weights in found:
                whole = (weights + identity) / 2 @ whole
        tokens = grid(whole[:, 0].unsqueeze(2), "attention")[:, 0]
        return tokens.unsqueeze(1).expand(-1, classes.shape[1], -1, -1)


def attentions(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The weights of each attention in a forward pass, the mean over its heads, float32 (B, tokens, tokens).

    Rows attend, and sum to 1.

    Args:
        model: takes the images.
        images: float (B, C, H, W) in [0,1].
    """
    found: list[Tensor] = []

    def weigh(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        query, key = arguments[:2]
        assert isinstance(module, nn.MultiheadAttention)
        weights = nn.MultiheadAttention.forward(module, query, key, key, need_weights=True)[1]
        assert weights is not None
        found.append(weights.float())

    modules = [module for module in layers(model).values() if isinstance(module, nn.MultiheadAttention)]
    # A hook also keeps torch from its fused layer, which calls no attention that could be watched.
    handles = [module.register_forward_pre_hook(weigh, with_kwargs=True) for module in modules]
    try:
        with frozen(model), torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return found
