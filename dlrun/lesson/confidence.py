"""The scale of the weights: decisions stay, confidence changes (001_6d5271d093cc63ab.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import PositiveFloat, Some
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

W = torch.tensor([0.3, 1.0, -0.6], dtype=torch.float64)
"""Bias first, as in x = (1, x1, x2)."""
WIDTH = 3.0


def confidence(points: Tensor, scale: float) -> Tensor:
    """The sigmoid of scale * w.x for points (..., 2), shape (...)."""
    return torch.sigmoid(scale * (W[0] + points @ W[1:]))


class Confidence(Lesson):
    """sign(w.x) = sign(2 w.x) = sign(1025.23 w.x), while the sigmoid of each is another.

    Args:
        scales: of the weights.
    """

    def __init__(self, scales: Some[PositiveFloat]) -> None:
        self.scales = scales

    def __call__(self) -> Findings:
        """Which decisions change with the scale, and how confidence changes along the boundary and across it."""
        points = (torch.rand(10_000, 2, dtype=torch.float64) * 2 - 1) * WIDTH
        across = W[1:] / W[1:].norm()
        along = torch.stack([-across[1], across[0]])
        decisions = torch.stack([confidence(points, scale) > 0.5 for scale in self.scales])
        rows: list[Row] = []
        for scale in self.scales:
            here = confidence(points, scale)
            rows.append({
                "scale of w": f"{scale:g}",
                "mean confidence in the class": float(torch.maximum(here, 1 - here).mean()),
                "most it changes, a step along": float((confidence(points + along, scale) - here).abs().max()),
                "most it changes, a step across": float((confidence(points + across, scale) - here).abs().max()),
            })  # fmt: skip
        metrics = {
            "same_decision_share": float((decisions == decisions[0]).all(dim=0).double().mean()),
            "along_difference": max(float(row["most it changes, a step along"]) for row in rows),
            "across_difference": min(float(row["most it changes, a step across"]) for row in rows),
            "smallest_mean_probability": float(rows[0]["mean confidence in the class"]),
            "largest_mean_probability": float(rows[-1]["mean confidence in the class"]),
        }
        return Findings(metrics, {"maps": self.draw()}, {"scales": rows})

    def draw(self) -> Figure:
        """A map of confidence for each scale."""
        figure, axes = slide(
            "One boundary, other confidence: only the norm of w differs", 1, len(self.scales), 3.4, sharey=True
        )
        axis = torch.linspace(-WIDTH, WIDTH, 201, dtype=torch.float64)
        x, y = torch.meshgrid(axis, axis, indexing="xy")
        points = torch.stack([x, y], dim=-1)
        box = (-WIDTH, WIDTH, -WIDTH, WIDTH)
        for each, scale in zip(axes, self.scales, strict=True):
            values = confidence(points, scale)
            image = each.imshow(values, extent=box, origin="lower", cmap="PuOr", vmin=0, vmax=1)
            each.contour(x, y, values, levels=[0.5], colors="black", linewidths=2)
            each.set(title=f"$\\sigma$({scale:g} · w.x)", xlabel="$x_1$")
        axes[0].set(ylabel="$x_2$")
        figure.colorbar(image, ax=axes, label="P(class 1)", shrink=0.9)
        return figure
