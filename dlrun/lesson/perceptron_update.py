"""One update of the perceptron: a point is wrong before it and right after (001_6d5271d093cc63ab.txt)."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import PositiveFloat
from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.lesson import Findings, Lesson, Row

W = torch.tensor([-0.2, 1.0, 0.4], dtype=torch.float64)
"""Before the update; the bias first."""
OTHERS = ((1.4, 0.6, 1), (1.0, 1.5, 1), (-1.2, -0.4, -1), (-0.5, -1.4, -1), (0.9, -1.3, -1))


class PerceptronUpdate(Lesson):
    """w <- w + lr y x for a point that is wrong: its score y w.x grows by lr |x|^2, its bias counted in.

    Args:
        point: two coordinates; it is of the class 1, and wrong before the update.
        lr: the learning rate.
    """

    def __init__(self, point: list[float], lr: PositiveFloat) -> None:
        if len(point) != 2:
            raise UserError(f"lesson.point={point}: expected two coordinates")
        self.x, self.lr = torch.tensor([1.0, *point], dtype=torch.float64), lr
        if float(W @ self.x) > 0:
            raise UserError(
                f"lesson.point={point}: is right already; expected one with x1 < {-(W[0] + W[2] * point[1]):.3g}"
            )

    def __call__(self) -> Findings:
        """The score before and after, by both rules, and what each does at a score of 0."""
        after = W + self.lr * self.x
        predicted = 1.0 if float(W @ self.x) > 0 else -1.0
        twice = W + self.lr * (1 - predicted) * self.x
        nothing = torch.zeros_like(W)
        rows: list[Row] = [
            {"rule": rule, "w0": float(w[0]), "w1": float(w[1]), "w2": float(w[2]), "score y w.x": float(w @ self.x)}
            for rule, w in (("before", W), ("w + lr y x", after), ("w + lr (y - ŷ) x", twice))
        ]
        metrics = {
            "score_before": float(W @ self.x),
            "score_after": float(after @ self.x),
            "growth_over_norm_ratio": float((after - W) @ self.x / (self.lr * self.x.square().sum())),
            "difference_rule_ratio": float((twice - W).norm() / (after - W).norm()),
            # The online rule updates where y w.x <= 0, so from w = 0 it moves for a negative example too, although
            # z = 0 counts as the negative class, and the other rule leaves it alone:
            "online_moves_at_zero": float((nothing - self.x).norm() > 0),
            "difference_rule_moves_at_zero": float((nothing + (-1.0 - -1.0) * self.x).norm() > 0),
        }
        return Findings(metrics, {"update": self.draw(after)}, {"rules": rows})

    def draw(self, after: Tensor) -> Figure:
        """The boundary before and after the update."""
        figure, axes = slide("One update turns the boundary towards the wrong point", 1, 2, 4.4, sharey=True)
        for each, w, title in zip(axes, (W, after), ("before: the star is wrong", "after: it is right"), strict=True):
            boundary(each, w)
            for x1, x2, y in OTHERS:
                each.plot(x1, x2, "o" if y > 0 else "s", color=COLOURS[0 if y > 0 else 1], markersize=8)
            each.plot(*self.x[1:], "*", color=COLOURS[0], markersize=20, markeredgecolor="black")
            each.set(title=title, xlabel="$x_1$", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
        axes[0].set(ylabel="$x_2$")
        handles = [axes[0].plot([], [], mark, color=COLOURS[number])[0] for number, mark in enumerate("os")]
        figure.legend(handles, ["y = +1", "y = -1"], loc="outside lower center", ncols=2, frameon=False)
        return figure


def boundary(axes: Axes, w: Tensor) -> None:
    """The half-planes of a perceptron, its boundary, and w as an arrow from it."""
    axis = torch.linspace(-2, 2, 201, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    score = w[0] + w[1] * x + w[2] * y
    axes.contourf(x, y, score, levels=[-1e9, 0, 1e9], colors=["#F6D9C6", "#CFE5F5"])
    axes.contour(x, y, score, levels=[0], colors="black", linewidths=2)
    foot = -w[0] * w[1:] / w[1:].square().sum()
    arrow = {"arrowstyle": "-|>", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    (x, y), (along, up) = foot.tolist(), (w[1:] / w[1:].norm()).tolist()
    axes.annotate("", (x + along, y + up), (x, y), arrowprops=arrow)
    axes.text(x + 1.15 * along, y + 1.15 * up, "w", ha="center", va="center", fontsize=12)
