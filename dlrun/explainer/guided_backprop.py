"""Guided backpropagation."""

from __future__ import annotations

from collections.abc import Callable

import captum.attr
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.explainer.attribution import Attribution, Scores


class GuidedBackprop(Attribution):
    """The gradient in each pixel, with only its positive part through every ReLU (Springenberg et al. 2014).

    Sharp pictures that hardly depend on the weights (Adebayo et al. 2018, Sanity Checks for Saliency Maps).
    """

    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """Captum's GuidedBackprop.

        Raises:
            UserError: the model has no ReLU, which is all that sets this method apart from the gradient.
        """
        if not any(isinstance(module, nn.ReLU) for module in scores.modules()):
            raise UserError(
                "explainer=guided_backprop: the model has no ReLU module; expected one, or explainer=saliency"
            )
        attribute: Callable[..., Tensor] = captum.attr.GuidedBackprop(scores).attribute
        return attribute

    def reduce(self, attributions: Tensor) -> Tensor:
        """The largest over the channels."""
        return attributions.abs().amax(dim=1)
