"""What a part of the examples says about the gradient of all (000_9560d611d10ac6dd.txt, stochastic descent)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from matplotlib.figure import Figure
from pydantic import Field
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from dlrun.config.section import Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

COUNT = 1024
"""Of scikit-learn's digits."""
SIZES = (1, 4, 16, 64, 256, 1024)
ORDERS = {
    "in_sequence": "in sequence",
    "shuffled": "shuffled, without replacement",
    "with_replacement": "with replacement",
    "as_listed": "as listed: a step an epoch",
}


class GradientEstimates(Lesson):
    """A linear classifier of digits: the gradient of the summed loss, and estimates of it from some of the examples.

    Args:
        draws: of a partial sum of each size.
        epochs: of the descents by different orders.
        batch_size: of these.
        lr: of these, on the mean loss of a mini-batch.
    """

    def __init__(
        self, draws: Positive, epochs: Positive, batch_size: Annotated[int, Field(gt=0, le=COUNT)], lr: PositiveFloat
    ) -> None:
        self.draws, self.epochs, self.batch_size, self.lr = draws, epochs, batch_size, lr

    def __call__(self) -> Findings:
        """Repeated examples, the spread of partial sums, and four orders of going through the examples."""
        digits = load_digits()
        x, y = torch.from_numpy(digits.data[:COUNT]).div(16), torch.from_numpy(digits.target[:COUNT])
        w = torch.zeros(10, x.shape[1], dtype=torch.float64)
        each = of_examples(w, x, y)
        repeated = of_examples(w, x.repeat(5, 1), y.repeat(5)).sum(dim=0)
        rows, errors = self.spread(each)
        curves, seen = self.descend(x, y, w)
        slope = math.log(errors["with"][3] / errors["with"][0]) / math.log(SIZES[3] / SIZES[0])
        metrics = {
            "repeated_difference": float((repeated / 5 - each.sum(dim=0)).abs().max()),
            "bias_over_standard_error": max(float(row["bias / standard error"]) for row in rows),
            "variance_slope": slope,
            "all_without_replacement_error": errors["without"][-1],
            "seen_without_replacement_share": seen["shuffled"],
            "seen_with_replacement_share": seen["with_replacement"],
            **{f"{order}_loss": curve[-1] for order, curve in curves.items()},
        }
        figures = {"partial_sums": self.draw(errors, each), "orders": draw_orders(curves)}
        return Findings(metrics, figures, {"partial_sums": rows})

    def spread(self, each: Tensor) -> tuple[list[Row], dict[str, list[float]]]:
        """Partial sums, scaled to all examples: their squared distance from the whole gradient, over its square."""
        whole = each.sum(dim=0)
        rows: list[Row] = []
        errors: dict[str, list[float]] = {"with": [], "without": []}
        for size in SIZES:
            picked = {
                "with": torch.randint(COUNT, (self.draws, size)),
                "without": torch.stack([torch.randperm(COUNT)[:size] for _ in range(self.draws)]),
            }
            sums = {
                way: torch.stack([each[index].sum(dim=0) for index in picked[way]]) * COUNT / size for way in picked
            }
            for way, values in sums.items():
                errors[way].append(float((values - whole).square().sum(dim=1).mean() / whole.square().sum()))
            # Along the gradient itself, where a bias would show:
            along = sums["with"] @ whole / whole.square().sum()
            rows.append({"examples": size, "mean along the gradient": float(along.mean()),
                         "bias / standard error": float((along.mean() - 1).abs() / (along.std() / self.draws**0.5)),
                         "variance, with replacement": errors["with"][-1],
                         "without": errors["without"][-1]})  # fmt: skip
        return rows, errors

    def descend(self, x: Tensor, y: Tensor, start: Tensor) -> tuple[dict[str, list[float]], dict[str, float]]:
        """The loss on all examples after each epoch, and the share of them that the first epoch has seen, by order."""
        curves: dict[str, list[float]] = {}
        seen: dict[str, float] = {}
        for order in ORDERS:
            w, curves[order] = start.clone(), [float(functional.cross_entropy(x @ start.T, y))]
            for epoch in range(self.epochs):
                batches = list(self.batches(order))
                if epoch == 0:
                    seen[order] = len(torch.unique(torch.cat(batches))) / COUNT
                for batch in (
                    batches[-1:] if order == "as_listed" else batches
                ):  # the listing computes all, and keeps one
                    w -= self.lr * of_examples(w, x[batch], y[batch]).mean(dim=0).view_as(w)
                curves[order].append(float(functional.cross_entropy(x @ w.T, y)))
        return curves, seen

    def batches(self, order: str) -> Iterator[Tensor]:
        """The examples of each mini-batch of an epoch."""
        if order == "with_replacement":
            yield from torch.split(torch.randint(COUNT, (COUNT,)), self.batch_size)
        else:
            places = torch.randperm(COUNT) if order == "shuffled" else torch.arange(COUNT)
            yield from torch.split(places, self.batch_size)

    def draw(self, errors: dict[str, list[float]], each: Tensor) -> Figure:
        """The spread of a partial sum against its size, measured and calculated."""
        figure, (axes,) = slide("A part of the examples estimates the gradient of all")
        whole = each.sum(dim=0)
        one = float((each * COUNT - whole).square().sum(dim=1).mean() / whole.square().sum())
        sizes = torch.tensor(SIZES, dtype=torch.float64)
        fine = torch.logspace(0, math.log10(COUNT - 1), 100)
        axes.loglog(fine, one / fine, "-", color="0.6", label="variance of one / size")
        axes.loglog(fine, one / fine * (COUNT - fine) / (COUNT - 1), ":", color="0.3", label="times (N - size)/(N - 1)")
        axes.loglog(sizes, errors["with"], "o", markersize=9, label="with replacement")
        axes.loglog(sizes[:-1], errors["without"][:-1], "s", markersize=7, label="without: 0 for all examples")
        axes.set(
            xlabel=f"examples in the sum, of N = {COUNT}",
            ylabel="variance / |gradient|²",
            ylim=(errors["with"][-1] / 20, None),
        )
        axes.grid(alpha=0.3)
        axes.legend()
        return figure


def of_examples(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of each example's cross-entropy, (N, 10 * D), for weights (10, D), examples (N, D), classes (N,)."""
    error = functional.softmax(x @ w.T, dim=1) - functional.one_hot(y, 10)
    return (error.unsqueeze(2) * x.unsqueeze(1)).flatten(1)


def draw_orders(curves: dict[str, list[float]]) -> Figure:
    """The loss by epoch for each order."""
    figure, (axes,) = slide("Any order learns; one step an epoch, as listed, is slow")
    for (order, curve), style in zip(curves.items(), ("-", "--", ":", "-."), strict=True):
        axes.plot(curve, style, linewidth=2.5, label=ORDERS[order])
    axes.set(xlabel="epoch", ylabel="loss on all examples", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
