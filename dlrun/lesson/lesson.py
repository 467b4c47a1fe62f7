"""The contract of every lesson: a small exact demonstration, calculated, tabulated and drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Row = Mapping[str, str | int | float]
"""A line of a table: values by column."""


@dataclass
class Findings:
    """What a lesson found."""

    metrics: dict[str, float]
    """Numbers by name, of which its claims speak."""
    figures: dict[str, Figure]
    """Pictures by name, each fit for a slide (:func:`dlrun.figure.slide.slide`)."""
    tables: dict[str, list[Row]] = field(default_factory=dict)
    """Tables by name, such as a value by hand beside that of autograd; all rows of one have the same columns."""


class Lesson(ABC):
    """A demonstration; its options are arguments of its constructor.

    Their types refuse bad ones, such as :data:`dlrun.config.section.Positive`; what no type can say, the constructor
    refuses with a UserError.
    """

    @abstractmethod
    def __call__(self) -> Findings:
        """Calculate and draw; a function of the options and of torch's random numbers, which the run has seeded."""
