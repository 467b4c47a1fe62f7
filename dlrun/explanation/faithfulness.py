"""Does a map show what the model uses? Deletion and insertion, and the share of a map in a known region."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlrun.explainer.explainer import upsample
from dlrun.model.inference import inference
from dlrun.model.logits import class_logits


def deletion_and_insertion(
    model: nn.Module, images: Tensor, classes: Tensor, maps: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """The area under the curve of a class's probability while pixels go, or come, in the order of a map.

    Deletion gives pixels the image's mean colour, the most important first: a good map has a small area. Insertion
    brings them back into an even image in the same order: a good map has a large one (Petsiuk et al. 2018, RISE).
    Their blur, which the paper inserts into, would leave a handwritten digit legible.

    Args:
        model: in evaluation mode.
        images: float (B, C, H, W) in [0,1].
        classes: int64 (B, T).
        maps: float (B, T, h, w).
        steps: points of a curve after its first.

    Returns:
        Deletion and insertion, float (B, T) in [0,1].
    """
    count, asked = classes.shape
    order = upsample(maps, images.shape[-2:]).flatten(2).argsort(dim=2, descending=True, stable=True)
    rank = order.argsort(dim=2).view(count, asked, 1, *images.shape[-2:])
    whole = images.unsqueeze(1)
    even = whole.mean(dim=(3, 4), keepdim=True)
    curves = []
    for step in range(steps + 1):
        first = rank < step / steps * order.shape[2]
        mixed = torch.stack([torch.where(first, even, whole), torch.where(first, whole, even)])
        with torch.inference_mode(), inference(model):
            logits = class_logits(model(mixed.flatten(0, 2)).float())
        probabilities = logits.softmax(dim=1).view(2, count, asked, -1)
        curves.append(probabilities.gather(3, classes.expand(2, -1, -1).unsqueeze(3)).squeeze(3))
    deletion, insertion = torch.trapezoid(torch.stack(curves), dx=1 / steps, dim=0)
    return deletion, insertion


def share_inside(maps: Tensor, regions: Tensor) -> Tensor:
    """How much of each map (B, T, h, w) lies in its region, bool (B, T, H, W): (B, T) in [0,1]; 0 of an empty map."""
    large = upsample(maps, regions.shape[-2:])
    return (large * regions).sum(dim=(2, 3)) / large.sum(dim=(2, 3)).clamp(min=torch.finfo(large.dtype).tiny)


def points_inside(maps: Tensor, regions: Tensor) -> Tensor:
    """Whether the highest place of each map lies in its region, bool (B, T) (Zhang et al. 2016, the pointing game)."""
    highest = upsample(maps, regions.shape[-2:]).flatten(2).argmax(dim=2, keepdim=True)
    return regions.flatten(2).gather(2, highest).squeeze(2)
