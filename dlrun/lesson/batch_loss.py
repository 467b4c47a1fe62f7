"""The loss of a mini-batch as a sum and as a mean (000_9560d611d10ac6dd.txt, loss against samples seen)."""

from __future__ import annotations

from typing import Annotated

import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from dlrun.config.section import Positive, PositiveFloat, Some
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

COUNT = 1024
"""Of scikit-learn's digits."""
Size = Annotated[int, Field(gt=0, le=COUNT)]


class BatchLoss(Lesson):
    """A linear classifier of digits, by mini-batches whose losses are summed (slides) or averaged (PyTorch).

    It is the same descent if the learning rate of the sum is that of the mean divided by the size.

    Args:
        batch_sizes: to compare.
        lr: one learning rate for all.
        epochs: passes over the digits.
    """

    def __init__(self, batch_sizes: Some[Size], lr: PositiveFloat, epochs: Positive) -> None:
        self.batch_sizes, self.lr, self.epochs = batch_sizes, lr, epochs

    def __call__(self) -> Findings:
        """Loss against samples seen for each size, in both forms; and both with rates that make them equal."""
        digits = load_digits()
        x, y = torch.from_numpy(digits.data[:COUNT]).div(16), torch.from_numpy(digits.target[:COUNT])
        order = torch.stack([torch.randperm(COUNT) for _ in range(self.epochs)])
        curves = {form: {size: descend(x, y, order, size, self.lr, form) for size in self.batch_sizes}
                  for form in ("mean", "sum")}  # fmt: skip
        size = max(self.batch_sizes)
        scaled = descend(x, y, order, size, self.lr / size, "sum")
        rows: list[Row] = [
            {"batch size": size, "steps": COUNT // size * self.epochs, "last loss, mean": curves["mean"][size][-1],
             "last loss, sum": curves["sum"][size][-1]}
            for size in self.batch_sizes
        ]  # fmt: skip
        metrics = {
            "scaled_sum_difference": max(abs(a - b) for a, b in zip(scaled, curves["mean"][size], strict=True)),
            "smallest_batch_mean_loss": curves["mean"][min(self.batch_sizes)][-1],
            "largest_batch_mean_loss": curves["mean"][size][-1],
            "largest_batch_sum_loss": curves["sum"][size][-1],
        }
        return Findings(metrics, {"samples": draw(curves, self.lr)}, {"batch_sizes": rows})


def descend(x: Tensor, y: Tensor, order: Tensor, size: int, lr: float, form: str) -> list[float]:
    """The loss on all examples, eight times an epoch or after each step where that is rarer.

    Args:
        x: examples (N, D).
        y: classes (N,).
        order: of the examples, by epoch, (E, N).
        size: of a mini-batch.
        lr: the learning rate.
        form: ``mean`` or ``sum`` over the mini-batch.
    """
    w = torch.zeros(10, x.shape[1], dtype=torch.float64)
    losses, every = [float(functional.cross_entropy(x @ w.T, y))], max(len(x) // size // 8, 1)
    for step, batch in enumerate(torch.split(order.flatten(), size), start=1):
        error = functional.softmax(x[batch] @ w.T, dim=1) - functional.one_hot(y[batch], 10)
        gradient = error.T @ x[batch]
        w -= lr * (gradient / len(batch) if form == "mean" else gradient)
        if step % every == 0:
            losses.append(float(functional.cross_entropy(x @ w.T, y)))
    return losses


def draw(curves: dict[str, dict[int, list[float]]], lr: float) -> Figure:
    """Loss against samples seen, a line for each batch size, in both forms."""
    figure, axes = slide("A sum takes longer steps on larger mini-batches, a mean does not", 1, 2, 4.6, sharey=True)
    titles = {"mean": f"mean, as PyTorch has it (lr {lr:g})", "sum": f"sum, as the slides have it (lr {lr:g})"}
    seen = len(next(iter(curves["mean"].values())))
    for each, (form, found) in zip(axes, curves.items(), strict=True):
        for (size, losses), style in zip(found.items(), ("-", "--", "-.", ":") * len(found), strict=False):
            samples = torch.linspace(0, 1, len(losses)) * COUNT * (seen - 1) / 8
            each.plot(samples, losses, style, linewidth=2, label=f"{size}")
        each.set(title=titles[form], xlabel="samples seen", yscale="log", ylim=(0.05, 60))
        each.grid(alpha=0.3)
    axes[0].set(ylabel="loss on all examples")
    axes[1].legend(title="batch size")
    return figure
