"""Gradient descent finds the filter by which edges were made, from images and their edges alone."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from dlrun.errors import UserError, suggest
from dlrun.figure.slide import slide
from dlrun.lesson.filters import KERNELS
from dlrun.lesson.lesson import Findings, Lesson
from dlrun.lesson.photos import grey

CROPS, SIDE = 16, 64
SHOWN = 8
"""Frames of the film strip."""
FILTERS = [name for name, kernel in KERNELS.items() if len(kernel) == 3]


class LearnedFilter(Lesson):
    """Learn an edge filter instead of giving it (004_f2c8751b5d3b52bc.txt, apprentissage).

    Args:
        filter: what made the edges.
        steps: of gradient descent, each on all crops of a photo.
        lr: learning rate.
        momentum: share of the last step that is kept.

    Raises:
        UserError: there is no such filter, or no step.
    """

    def __init__(self, filter: str, steps: int, lr: float, momentum: float) -> None:
        if filter not in FILTERS:
            raise UserError(f"lesson.filter={filter}: no such filter of 3x3; {suggest(filter, FILTERS)}")
        if steps < 1:
            raise UserError(f"lesson.steps={steps}: expected 1 or more")
        self.filter, self.steps, self.lr, self.momentum = filter, steps, lr, momentum

    def __call__(self) -> Findings:
        """Train from a random kernel, and keep it after every step."""
        kernel, images = KERNELS[self.filter], crops(grey("china"))
        edges = F.conv2d(images, kernel[None, None])
        weight = torch.randn(1, 1, 3, 3).requires_grad_()
        optimizer = torch.optim.SGD([weight], lr=self.lr, momentum=self.momentum)
        path, losses = [weight.detach()[0, 0].clone()], []
        for _ in range(self.steps):
            optimizer.zero_grad()
            loss = F.mse_loss(F.conv2d(images, weight), edges)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            path.append(weight.detach()[0, 0].clone())
            losses.append(loss.item())
        distances = [float((one - kernel).abs().max()) for one in path]
        metrics = {"distance_before": distances[0], "distance": distances[-1], "loss": losses[-1]}
        figures = {"film": _film(path, kernel), "distance": _curve(distances)}
        return Findings(
            metrics,
            figures,
            {
                "kernel": [
                    {
                        "row": row,
                        "column": column,
                        "made with": float(kernel[row, column]),
                        "learned": float(path[-1][row, column]),
                    }
                    for row in range(3)
                    for column in range(3)
                ]
            },
        )


def crops(image: Tensor) -> Tensor:
    """Squares of a photo (H, W) at random places, (CROPS, 1, SIDE, SIDE), of mean 0 and deviation 1 together."""
    tops = torch.randint(len(image) - SIDE, (CROPS,)).tolist()
    lefts = torch.randint(image.shape[1] - SIDE, (CROPS,)).tolist()
    cut = [image[top : top + SIDE, left : left + SIDE] for top, left in zip(tops, lefts, strict=True)]
    squares = torch.stack(cut).unsqueeze(1)
    return (squares - squares.mean()) / squares.std()


def _film(path: list[Tensor], kernel: Tensor) -> Figure:
    """The kernel at steps that double, and the one that made the edges."""
    last = len(path) - 1
    steps = sorted({0, last, *(round(last ** (part / (SHOWN - 2))) for part in range(SHOWN - 1))})
    frames = [(f"step {step}", path[step]) for step in steps] + [("made with", kernel)]
    figure, plots = slide("From noise to an edge filter, by gradient descent", 2, (len(frames) + 1) // 2, 4.2)
    limit = float(kernel.abs().max())
    for axes in plots:
        axes.axis("off")
    for axes, (name, values) in zip(plots, frames, strict=False):
        axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(name)
        for row in range(3):
            for column in range(3):
                value = round(float(values[row, column]), 1) + 0.0  # no -0.0
                colour = "white" if abs(value) > 0.6 * limit else "black"
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=9)
    return figure


def _curve(distances: list[float]) -> Figure:
    figure, (axes,) = slide("The learned kernel comes ever closer to the one that made the edges")
    axes.plot(distances)
    axes.axhline(1e-2, color="black", linestyle="--", label="0.01")
    axes.set_yscale("log")
    axes.set_xlabel("step of gradient descent")
    axes.set_ylabel("largest error of a weight")
    axes.legend()
    return figure
