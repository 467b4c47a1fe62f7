"""Integrated gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
from torch import Tensor

from dlrun.explainer.attribution import Attribution, Scores


@dataclass
class IntegratedGradients(Attribution):
    """The gradient on the way from black to the image, times the way (Sundararajan et al. 2017).

    Args:
        steps: points on the way.
    """

    steps: int = 50

    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """Captum's IntegratedGradients; a step of the whole batch at a time."""

        def attribute(images: Tensor, target: Tensor) -> Tensor:
            integrated = captum.attr.IntegratedGradients(scores)
            options = {"n_steps": self.steps, "internal_batch_size": len(images)}
            attributions: Tensor = integrated.attribute(images, target=target, **options)
            return attributions

        return attribute
