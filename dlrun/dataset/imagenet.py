"""The classes of ImageNet, which torchvision's networks were trained on."""

from __future__ import annotations

from torchvision.models import ResNet50_Weights


def classes() -> list[str]:
    """The 1,000 names in the order of the outputs."""
    names: list[str] = ResNet50_Weights.DEFAULT.meta["categories"]
    return names
