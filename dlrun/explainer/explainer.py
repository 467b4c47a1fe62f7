"""The contract of every explainer: a map for each image and class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError, suggest


@dataclass
class Explainer(ABC):
    """Says where in an image a model finds its evidence for a class.

    Args:
        target: the classes to explain, by name or number, one or a list; None takes each image's most probable.
        top_k: how many of the most probable classes.
    """

    target: list[str | int] | str | int | None = None
    top_k: int = 1

    @abstractmethod
    def maps(self, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
        """The evidence for some classes at every place.

        Args:
            model: gives class scores (B, K), or (B, 1) for two classes.
            images: float (B, C, H, W) in [0,1].
            classes: int64 (B, T).

        Returns:
            float32 (B, T, h, w), 0 or more, in the method's own resolution; :func:`upsample` brings it to the image's.
        """

    def classes(self, scores: Tensor, names: list[str]) -> Tensor:
        """The classes to explain, int64 (B, T), for images with these scores (B, K).

        Raises:
            UserError: an unknown class, or more of the most probable than there are.
        """
        count = scores.shape[1]
        if self.target is None:
            if not 1 <= self.top_k <= count:
                raise UserError(f"explainer.top_k={self.top_k}: expected 1 to {count}, the number of classes")
            return scores.topk(self.top_k, dim=1).indices
        wanted = self.target if isinstance(self.target, list) else [self.target]
        numbers = [_class_number(name, names) for name in wanted]
        return torch.tensor(numbers, device=scores.device).expand(len(scores), -1)


def _class_number(name: str | int, names: list[str]) -> int:
    if isinstance(name, int):
        if not 0 <= name < len(names):
            raise UserError(f"explainer.target={name}: no such class; expected 0 to {len(names) - 1}, or a name")
        return name
    if name not in names:
        known = names if len(names) <= 100 else [other for other in names if name.lower() in other.lower()]
        raise UserError(f"explainer.target={name}: no such class; {suggest(name, known)}")
    return names.index(name)


def upsample(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Maps (..., h, w) brought smoothly (bilinear) to an image's height and width."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    larger = F.interpolate(flat, tuple(size), mode="bilinear", align_corners=False)
    return larger.view(*maps.shape[:-2], *size)
