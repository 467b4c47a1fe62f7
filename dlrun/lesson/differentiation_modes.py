"""Forward and reverse mode of automatic differentiation (001_6d5271d093cc63ab.txt, computational graphs)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive
from dlrun.figure.graph import Graph, draw_graph
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row


def forward(jacobians: Sequence[Tensor]) -> tuple[Tensor, int]:
    """The Jacobian of the whole, from the inputs on: a column for each input; and the products of numbers."""
    made, products = jacobians[0], 0
    for jacobian in jacobians[1:]:
        products += jacobian.shape[0] * jacobian.shape[1] * made.shape[1]
        made = jacobian @ made
    return made, products


def reverse(jacobians: Sequence[Tensor]) -> tuple[Tensor, int]:
    """The same from the outputs back: a row for each output."""
    made, products = jacobians[-1], 0
    for jacobian in reversed(jacobians[:-1]):
        products += made.shape[0] * jacobian.shape[0] * jacobian.shape[1]
        made = made @ jacobian
    return made, products


class DifferentiationModes(Lesson):
    """The products of numbers that the Jacobian of a chain of layers takes, from either end.

    Args:
        many: inputs of the one case, outputs of the other.
        widths: of the layers between.
    """

    def __init__(self, many: Positive, widths: list[Positive]) -> None:
        self.many, self.widths = many, widths

    def __call__(self) -> Findings:
        """Both ways for three shapes: equal Jacobians, counted products."""
        shapes = {"many inputs, 1 output": (self.many, 1), "1 input, many outputs": (1, self.many),
                  "as many": (self.many, self.many)}  # fmt: skip
        rows: list[Row] = []
        difference = 0.0
        for name, (inputs, outputs) in shapes.items():
            function, jacobians, x = chain([inputs, *self.widths, outputs])
            one, products = forward(jacobians)
            other, others = reverse(jacobians)
            whole = torch.autograd.functional.jacobian(function, x)  # type: ignore[no-untyped-call]
            difference = max(difference, *(float((each - whole).abs().max()) for each in (one, other)))
            rows.append({"network": name, "inputs": inputs, "outputs": outputs, "products forward": products,
                         "products reverse": others, "forward / reverse": products / others})  # fmt: skip
        graph, derivative = sigmoid_graph(0.5)
        value = float(torch.sigmoid(torch.tensor(0.5, dtype=torch.float64)))
        metrics = {
            "largest_difference": difference,
            "one_output_ratio": float(rows[0]["forward / reverse"]),
            "one_input_ratio": float(rows[1]["forward / reverse"]),
            "sigmoid_difference": abs(derivative - value * (1 - value)),
        }
        figure, (axes,) = slide("The sigmoid as a graph: values to the right, derivatives back", height=2.4)
        draw_graph(axes, graph, 9)
        return Findings(metrics, {"products": self.draw(), "sigmoid": figure}, {"products": rows})

    def draw(self) -> Figure:
        """The products against the inputs, and against the outputs."""
        figure, axes = slide("Reverse mode wins where there are more inputs than outputs", 1, 2)
        counts = [1, 3, 10, 30, 100, 300, 1000]
        for each, name, sizes in (
            (axes[0], "inputs, 1 output", [(count, 1) for count in counts]),
            (axes[1], "outputs, 1 input", [(1, count) for count in counts]),
        ):
            shapes = [[inputs, *self.widths, outputs] for inputs, outputs in sizes]
            chains = [
                [torch.empty(after, before, device="meta") for before, after in itertools.pairwise(shape)]
                for shape in shapes
            ]
            each.loglog(counts, [forward(chain)[1] for chain in chains], "o-", label="forward mode")
            each.loglog(counts, [reverse(chain)[1] for chain in chains], "s-", label="reverse mode")
            each.set(xlabel=f"number of {name}", ylabel="products of numbers")
            each.grid(alpha=0.3)
            each.legend()
        return figure


def chain(widths: Sequence[int]) -> tuple[partial[Tensor], list[Tensor], Tensor]:
    """A network of tanh layers, the Jacobian of each of them at a point, and the point."""
    weights = [
        torch.randn(after, before, dtype=torch.float64) / before**0.5 for before, after in itertools.pairwise(widths)
    ]
    x = torch.randn(widths[0], dtype=torch.float64)
    jacobians, value = [], x
    for weight in weights:
        value = torch.tanh(weight @ value)
        jacobians.append((1 - value**2).unsqueeze(1) * weight)
    return partial(through, weights), jacobians, x


def through(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """The network's output."""
    for weight in weights:
        x = torch.tanh(weight @ x)
    return x


def sigmoid_graph(z: float) -> tuple[Graph, float]:
    """The graph of 1 / (1 + exp(-z)) with its values, and the derivative by reverse mode."""
    negative = -z
    power = float(torch.tensor(negative, dtype=torch.float64).exp())
    total = 1 + power
    result = 1 / total
    at_total = -1 / total**2
    at_power = at_total
    at_negative = at_power * power
    at_z = -at_negative
    graph = Graph()
    names = ("z", "a = -z", "b = exp(a)", "c = 1 + b", "s = 1/c")
    values = (z, negative, power, total, result)
    for place, (name, value, slope) in enumerate(
        zip(names, values, (at_z, at_negative, at_power, at_total, 1.0), strict=True)
    ):
        label = f"{name}\n{value:.3f}\n∂s/∂{name[0]} = {slope:.3f}"
        graph.add(name, label, "operator" if place else "value", *names[place - 1 : place] if place else ())
    return graph, at_z
