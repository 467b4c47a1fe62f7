"""Squared error against cross-entropy under a sigmoid (001_6d5271d093cc63ab.txt, KL versus MSE)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from dlrun.config.section import Positive, PositiveFloat
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": functional.binary_cross_entropy,
    "squared error": functional.mse_loss,
}
"""Of probabilities and targets, both float (N,)."""
GOOD = 0.95
"""The accuracy that counts as learned."""


class SigmoidLosses(Lesson):
    """Logistic regression on two clouds, from weights that are wrong and sure of it, under either loss.

    The squared error's slope in the logit is the cross-entropy's, ŷ - y, times 2 ŷ (1 - ŷ): nothing where ŷ is sure and
    wrong. The document's "derivative -1 at the minimum" is that of the cross-entropy in ŷ; in the logit it is 0.

    Args:
        steps: of gradient descent.
        lr: the learning rate of both.
        start: how far the weights point the wrong way.
    """

    def __init__(self, steps: Positive, lr: PositiveFloat, start: PositiveFloat) -> None:
        self.steps, self.lr, self.start = steps, lr, start

    def __call__(self) -> Findings:
        """Steps until either has learned, and both slopes against the error of the output."""
        targets = (torch.arange(200) % 2).float()
        points = torch.randn(200, 2) * 0.7 + (targets * 2 - 1).unsqueeze(1)
        curves = {name: self.descend(points, targets, loss) for name, loss in LOSSES.items()}
        needed = {name: first(curve, GOOD) for name, curve in curves.items()}
        errors = torch.tensor([0.0, 0.1, 0.5, 0.9, 0.99, 0.999])
        slopes = {name: slope(errors, loss) for name, loss in LOSSES.items()}
        rows: list[Row] = [
            {"error y - ŷ": f"{error:g}", **{f"slope, {name}": float(values[place]) for name, values in slopes.items()}}
            for place, error in enumerate(errors.tolist())
        ]
        sure = torch.tensor(1.0, requires_grad=True)
        (in_prediction,) = torch.autograd.grad(-torch.log(sure), sure)
        logit = torch.tensor(20.0, requires_grad=True)
        target = torch.tensor(1.0)
        (in_logit,) = torch.autograd.grad(functional.binary_cross_entropy_with_logits(logit, target), logit)
        metrics = {
            "cross_entropy_steps": float(needed["cross-entropy"]),
            "squared_error_steps": float(needed["squared error"]),
            "slope_at_error_099_ratio": float(slopes["cross-entropy"][4] / slopes["squared error"][4]),
            "minimum_slope_in_prediction": float(in_prediction),
            "minimum_slope_in_logit": float(in_logit),
        }
        return Findings(metrics, {"convergence": draw(curves, needed), "slopes": draw_slopes()}, {"slopes": rows})

    def descend(self, points: Tensor, targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> list[float]:
        """The accuracy before each step."""
        model = nn.Linear(2, 1)
        with torch.no_grad():
            model.weight.fill_(-self.start)
            model.bias.zero_()
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr)
        accuracies = []
        for _ in range(self.steps):
            probabilities = torch.sigmoid(model(points)).squeeze(1)
            accuracies.append(float(((probabilities > 0.5) == targets.bool()).float().mean()))
            optimizer.zero_grad()
            loss(probabilities, targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return accuracies


def first(curve: list[float], bound: float) -> int:
    """The first step at which a curve reaches a bound; its length where it never does."""
    return next((step for step, value in enumerate(curve) if value >= bound), len(curve))


def slope(errors: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The size of the loss's slope in the logit where y = 1 and the output is too small by ``errors``."""
    logits = torch.logit((1 - errors).clamp(1e-7, 1 - 1e-7).double()).requires_grad_()
    total = loss(torch.sigmoid(logits), torch.ones_like(logits)) * len(logits)  # both losses are means
    return torch.autograd.grad(total, logits)[0].abs()


def draw(curves: dict[str, list[float]], needed: dict[str, int]) -> Figure:
    """Accuracy over the steps."""
    figure, (axes,) = slide("Under a sigmoid, the squared error hardly moves at first")
    for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
        axes.plot(curve, style, linewidth=2.5, label=f"{name}: {GOOD:.0%} after {needed[name]:,} steps")
    axes.set(xlabel="step of gradient descent, equal learning rates", ylabel="training accuracy", ylim=(0, 1.02))
    axes.set_xscale("symlog")
    axes.set_xlim(0, None)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return figure


def draw_slopes() -> Figure:
    """Both slopes against the error."""
    figure, (axes,) = slide("The squared error's slope vanishes where the output is most wrong")
    errors = torch.linspace(0.0, 1.0, 201)
    for (name, loss), style in zip(LOSSES.items(), ("-", "--"), strict=True):
        axes.plot(errors, slope(errors, loss), style, linewidth=2.5, label=name)
    axes.set(
        xlabel="error of the output,  y - ŷ", ylabel="|slope of the loss in the logit|", xlim=(0, 1), ylim=(0, 1.02)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
