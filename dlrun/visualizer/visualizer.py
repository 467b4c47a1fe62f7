"""The contract of every visualizer: figures of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from dlrun.model.normalized import Normalized

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Subject:
    """What a visualizer may need besides the model."""

    size: tuple[int, int, int]
    """Of the model's images: channels, height, width."""
    classes: list[str]
    image: Tensor | None = None
    """An example, float (C, H, W) in [0,1], where the visualizer asks for one."""


@dataclass
class Shown:
    """What a visualizer found."""

    figures: dict[str, Figure]
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    """Values over the steps of an ascent."""
    frames: Tensor | None = None
    """The ascent as a film, float (frames, images, C, H, W) in [0,1]."""


class Visualizer(ABC):
    """Draws something of a model."""

    needs_image = False
    """Whether it draws what the model makes of one image."""

    @abstractmethod
    def show(self, model: Normalized, subject: Subject) -> Shown:
        """The figures by name; the model is in evaluation mode and stays as it is."""
