"""What the explainers of captum share: a map in the resolution of the image."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.explainer.explainer import Explainer
from dlrun.model.frozen import frozen
from dlrun.model.logits import class_scores


class Scores(nn.Module):
    """A model that gives class scores, float32 (B, K): what captum explains."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The scores of images in [0,1]."""
        return class_scores(self.model(images))


@dataclass
class Attribution(Explainer):
    """A method of captum, applied to one class after another."""

    @abstractmethod
    def method(self, scores: Scores) -> Callable[..., Tensor]:
        """The function of captum: takes images and ``target`` (B,), returns attributions (B, C, H, W)."""

    def reduce(self, attributions: Tensor) -> Tensor:
        """Attributions (B, C, H, W) as a map (B, H, W): the channels' sum where it is in favour of the class."""
        return attributions.sum(dim=1).relu()

    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The maps, float32 (B, T, H, W)."""
        scores = Scores(model)
        dtype = next((parameter.dtype for parameter in model.parameters()), images.dtype)
        with frozen(scores), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="captum")  # of the gradients and hooks that are its work
            attribute: Any = self.method(scores)
            columns = [attribute(images.to(dtype, copy=True), target=column) for column in classes.unbind(dim=1)]
        return torch.stack([self.reduce(column.detach().float()) for column in columns], dim=1)
