"""Losses against the margin, and which of them are convex (001_6d5271d093cc63ab.txt)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "zero_one": lambda m: (m <= 0).to(m.dtype),
    "perceptron": lambda m: (-m).relu(),
    "hinge": lambda m: (1 - m).relu(),
    "logistic": lambda m: torch.nn.functional.softplus(-m) / math.log(2),
    "squared": lambda m: (1 - m).square(),
}
"""Each as a function of the margin m = y f(x), y = -1 or 1; the logistic loss in bits, so that it is 1 at m = 0."""
NAMES = {"zero_one": "0-1", "perceptron": "perceptron's", "hinge": "hinge", "logistic": "logistic (BCE), bits"}
TINY = 1e-4


class MarginLosses(Lesson):
    """The 0-1 loss is flat nearly everywhere and not convex: no descent; the others stand in for it.

    Args:
        width: margins from -width to width.
        points: at which slopes are taken; as many pairs check convexity.
    """

    def __init__(self, width: PositiveFloat, points: Positive) -> None:
        self.width, self.points = width, points

    def __call__(self) -> Findings:
        """Of each loss: the share of margins where it is flat, and of pairs whose middle lies above their mean."""
        m = (torch.rand(self.points, dtype=torch.float64) * 2 - 1) * self.width
        other = m[torch.randperm(self.points)]
        rows: list[Row] = []
        metrics: dict[str, float] = {}
        for name, loss in LOSSES.items():
            flat = (loss(m + TINY) - loss(m - TINY)).abs() < TINY**2
            above = loss((m + other) / 2) > (loss(m) + loss(other)) / 2 + 1e-9
            covers = loss(m) >= LOSSES["zero_one"](m)
            found = {"flat_share": flat, "not_convex_share": above, "above_zero_one_share": covers}
            metrics |= {f"{name}_{key}": float(value.double().mean()) for key, value in found.items()}
            rows.append(
                {"loss": NAMES.get(name, name), **{key: float(value.double().mean()) for key, value in found.items()}}
            )
        return Findings(metrics, {"losses": self.draw()}, {"losses": rows})

    def draw(self) -> Figure:
        """All losses."""
        figure, (axes,) = slide("The 0-1 loss has no slope to follow; its stand-ins have one")
        m = torch.linspace(-self.width, self.width, 801, dtype=torch.float64)
        styles = ("-", "--", "-.", "-", ":")
        for (name, loss), style in zip(LOSSES.items(), styles, strict=True):
            axes.plot(m, loss(m), style, label=NAMES.get(name, name), linewidth=3 if name == "zero_one" else 2)
        axes.axvspan(-self.width, 0, color="0.93", zorder=0)
        axes.text(-self.width * 0.97, 0.1, "wrong side")
        axes.set(xlabel="margin  y · f(x)", ylabel="loss", ylim=(-0.1, 4), xlim=(-self.width, self.width))
        axes.legend()
        return figure
