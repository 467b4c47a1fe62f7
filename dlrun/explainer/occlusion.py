"""Occlusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
from torch import Tensor

from dlrun.explainer.attribution import Attribution, Scores


@dataclass
class Occlusion(Attribution):
    """How much the class score falls when a black square hides the place (Zeiler and Fergus 2013).

    Args:
        window: the square's side, as a share of the image's.
        stride: its step, as a share of its side.
    """

    window: float = 0.2
    stride: float = 0.5

    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """Captum's Occlusion."""

        def attribute(images: Tensor, target: Tensor) -> Tensor:
            channels, side = images.shape[1], max(1, round(self.window * min(images.shape[2:])))
            step = max(1, round(self.stride * side))
            attributions: Tensor = captum.attr.Occlusion(scores).attribute(
                images, (channels, side, side), (channels, step, step), target=target
            )
            return attributions / channels  # every channel holds the whole drop

        return attribute
