"""Saliency."""

from __future__ import annotations

from collections.abc import Callable

import captum.attr
from torch import Tensor

from dlrun.explainer.attribution import Attribution, Scores


class Saliency(Attribution):
    """The absolute gradient of the class score in each pixel (Simonyan et al. 2013)."""

    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """Captum's Saliency."""
        attribute: Callable[..., Tensor] = captum.attr.Saliency(scores).attribute
        return attribute

    def reduce(self, attributions: Tensor) -> Tensor:
        """The largest over the channels."""
        return attributions.abs().amax(dim=1)
