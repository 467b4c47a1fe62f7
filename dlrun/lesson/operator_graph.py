"""A graph of operators and its gradients by the slides' formulas (000_9560d611d10ac6dd.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive
from dlrun.figure.graph import Graph, draw_graph
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row


class OperatorGraph(Lesson):
    """x1 = w1 x0, x2 = x0 + w2 x1, x3 = w1 (x1 + x2), loss = |x3|: w1 is used twice.

    The document's Jacobians have a row for each output. With these, the gradient before an operator is the transposed
    Jacobian times the gradient behind it; its formulas lack the transposes.

    Args:
        size: of the vectors; the weights are size x size.
    """

    def __init__(self, size: Positive) -> None:
        self.size = size

    def __call__(self) -> Findings:
        """Gradients of all activations and weights: with the transposes, as printed, and by autograd."""
        w1, w2 = (torch.rand(self.size, self.size, dtype=torch.float64).requires_grad_() for _ in range(2))
        x0 = torch.randn(self.size, dtype=torch.float64).requires_grad_()
        x1 = w1 @ x0
        x2 = x0 + w2 @ x1
        x3 = w1 @ (x1 + x2)
        loss = x3.norm()
        right = dict(zip(("x2", "x1", "x0", "w1", "w2"), torch.autograd.grad(loss, (x2, x1, x0, w1, w2)), strict=True))
        with torch.no_grad():
            last = x3 / loss
            mended, uses = gradients(w1, w2, x0, x1, x2, last)
            printed = as_printed(w1, w2, last)
        rows: list[Row] = [
            {
                "gradient of": name,
                "with transposes, off autograd by": float((mended[name] - right[name]).abs().max()),
                "as printed, off by": (
                    f"{float((printed[name] - right[name]).abs().max()):.4f}"
                    if name in printed
                    else f"no product: ({self.size}x{self.size**2}) ({self.size})"
                ),
            }
            for name in right
        ]
        metrics = {
            "largest_difference": max(float((mended[name] - right[name]).abs().max()) for name in right),
            "as_printed_difference": min(float((printed[name] - right[name]).abs().max()) for name in printed),
            "second_use_difference": float((uses[0] + uses[1] - right["w1"]).abs().max()),
            "first_use_alone_difference": float((uses[0] - right["w1"]).abs().max()),
        }
        figures = {"graph": draw(), "two_uses": draw_uses(*uses, right["w1"])}
        return Findings(metrics, figures, {"gradients": rows})


def gradients(
    w1: Tensor, w2: Tensor, x0: Tensor, x1: Tensor, x2: Tensor, last: Tensor
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
    """Gradients by the chain rule, first of the activations, then of the weights.

    Args:
        w1: weights (n, n).
        w2: weights (n, n).
        x0: input (n,).
        x1: activation (n,).
        x2: activation (n,).
        last: the gradient with respect to x3, (n,).

    Returns:
        By name; and what each of w1's two uses gives to its gradient.
    """
    at_x2 = w1.T @ last
    at_x1 = w2.T @ at_x2 + w1.T @ last
    at_x0 = w1.T @ at_x1 + at_x2
    first, second = of_weight(x0).T @ at_x1, of_weight(x1 + x2).T @ last
    uses = first.view_as(w1), second.view_as(w1)
    at_w2 = (of_weight(x1).T @ at_x2).view_as(w2)
    return {"x2": at_x2, "x1": at_x1, "x0": at_x0, "w1": uses[0] + uses[1], "w2": at_w2}, uses


def as_printed(w1: Tensor, w2: Tensor, last: Tensor) -> dict[str, Tensor]:
    """The formulas as the slides have them, without transposes; those of the weights multiply sizes that do not fit."""
    at_x2 = w1 @ last
    at_x1 = w2 @ at_x2 + w1 @ last
    return {"x2": at_x2, "x1": at_x1, "x0": w1 @ at_x1 + at_x2}


def of_weight(x: Tensor) -> Tensor:
    """The Jacobian (n, n * n) of W x with respect to W, read row by row."""
    return torch.kron(torch.eye(len(x), dtype=x.dtype), x.unsqueeze(0))


def draw() -> Figure:
    """The graph, with w1 used by two operators."""
    graph = Graph()
    graph.add("w1", "$w^{(1)}$", "parameter")
    graph.add("x0", "$x^{(0)}=x$", "value")
    graph.add("w2", "$w^{(2)}$", "parameter")
    graph.add("1", r"$\phi^{(1)}$" + "\n$w^{(1)}x^{(0)}$", "operator", "w1", "x0")
    graph.add("2", r"$\phi^{(2)}$" + "\n$x^{(0)}+w^{(2)}x^{(1)}$", "operator", "x0", "1", "w2")
    graph.add("3", r"$\phi^{(3)}$" + "\n$w^{(1)}(x^{(1)}+x^{(2)})$", "operator", "1", "2", "w1")
    graph.add("loss", r"$\ell=\|x^{(3)}\|$", "operator", "3")
    figure, (axes,) = slide("A graph of operators: the weight $w^{(1)}$ is used twice", height=4)
    draw_graph(axes, graph, 11)
    return figure


def draw_uses(first: Tensor, second: Tensor, whole: Tensor) -> Figure:
    """What each of the two uses gives to the gradient of w1, and their sum."""
    figure, axes = slide("The gradient of a shared weight is the sum over its uses", 1, 3, height=3.4)
    limit = float(torch.stack([first, second, whole]).abs().max())
    titles = (r"use in $\phi^{(1)}$", r"+ use in $\phi^{(3)}$", "= autograd")
    for each, values, title in zip(axes, (first, second, whole), titles, strict=True):
        image = each.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit)
        each.set(title=title, xlabel="column", ylabel="row")
    figure.colorbar(image, ax=axes, label=r"$\partial\ell/\partial w^{(1)}$")
    return figure
