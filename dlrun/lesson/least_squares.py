"""Least squares by hand and by ``optim.SGD`` (002_650a5abb4bbbf8e1.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

A = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
B = torch.tensor([4.0, 7.0, 1.5], dtype=torch.float64)
START = (-1.0, 3.5)


def error(x: Tensor) -> Tensor:
    """The squared error (Ax - b).(Ax - b) of points x (..., 2), shape (...)."""
    return (x @ A.T - B).square().sum(dim=-1)


class LeastSquares(Lesson):
    """Gradient descent on f(x) = (Ax - b).(Ax - b), of two unknowns, with the gradient 2 A^T (Ax - b) and autograd's.

    Args:
        steps: of gradient descent.
        lr: the step size; above 1 / (largest eigenvalue of A^T A) the descent diverges.
    """

    def __init__(self, steps: Positive, lr: PositiveFloat) -> None:
        self.steps, self.lr = steps, lr

    def __call__(self) -> Findings:
        """Both trajectories, step by step, with the minimum by the normal equations."""
        hand, optim = self.by_hand(), self.by_optim()
        minimum = torch.linalg.lstsq(A, B).solution
        rows: list[Row] = [
            {"step": step, "x1 by hand": float(x[0]), "x1 by SGD": float(y[0]),
             "x2 by hand": float(x[1]), "x2 by SGD": float(y[1]), "f": float(error(x))}
            for step, (x, y) in enumerate(zip(hand, optim, strict=True))
        ]  # fmt: skip
        metrics = {
            "largest_difference": float((hand - optim).abs().max()),
            "distance_to_minimum": float((hand[-1] - minimum).norm()),
            "largest_lr": float(1 / torch.linalg.eigvalsh(A.T @ A).max()),
        }
        return Findings(metrics, {"trajectories": draw(hand, optim, minimum)}, {"steps": rows})

    def by_hand(self) -> Tensor:
        """The points, float (steps + 1, 2): x - lr * 2 A^T (Ax - b)."""
        points = [torch.tensor(START, dtype=torch.float64)]
        for _ in range(self.steps):
            points.append(points[-1] - self.lr * 2 * A.T @ (A @ points[-1] - B))
        return torch.stack(points)

    def by_optim(self) -> Tensor:
        """The same, float (steps + 1, 2), with the gradient by autograd and the step by torch's optimizer."""
        x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=self.lr)
        points = [x.detach().clone()]
        for _ in range(self.steps):
            optimizer.zero_grad()
            error(x).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            points.append(x.detach().clone())
        return torch.stack(points)


def draw(hand: Tensor, optim: Tensor, minimum: Tensor) -> Figure:
    """Both trajectories over the level lines, and how the error falls."""
    figure, (plane, curve) = slide("Least squares: by hand and by optim.SGD, the same steps", 1, 2, width_ratios=[3, 2])
    x, y = torch.meshgrid(torch.linspace(-1.6, 3.4, 160), torch.linspace(-0.6, 4.2, 160), indexing="xy")
    levels = error(torch.stack([x, y], dim=-1).double())
    plane.contour(x, y, levels, levels=[0.5 * 1.8**power for power in range(10)], colors="0.75", linewidths=0.8)
    plane.plot(hand[:, 0], hand[:, 1], "o-", markersize=9, markerfacecolor="none", label="by hand")
    plane.plot(optim[:, 0], optim[:, 1], "x--", markersize=6, label="optim.SGD")
    plane.plot(*minimum, "*", color="black", markersize=14, label="minimum")
    plane.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-1.6, 3.4), ylim=(-0.6, 4.2))
    plane.legend()
    curve.semilogy(error(hand) - error(minimum), "o-", markersize=6, markerfacecolor="none")
    curve.semilogy(error(optim) - error(minimum), "x--", markersize=4)
    curve.set(xlabel="step", ylabel="f(x) above its minimum")
    curve.grid(alpha=0.3)
    return figure
