"""Forward and backward of a network as loops over its neurons, as listed and mended (002_650a5abb4bbbf8e1.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive
from dlrun.errors import UserError
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

Activations = list[list[float]]
"""A[t][i]: what neuron i of layer t adds up; A[0] is the input."""
Weights = list[list[list[float]]]
"""w[t][i][j]: from neuron j of layer t to neuron i of layer t + 1."""
FAULTS = {
    "forward": "A[1] has relu(A[0]): a ReLU on the input",
    "start": "DA[z][1] = partial_loss: begins with the loss, not with its derivative",
    "last": "t from z: reads DA[z+1] and w[z], which do not exist",
    "input": "DA[0] stays 0: the loop ends at 1, and has relu'(A[0])",
    "weights": "no line for the gradients of the weights, which the step needs",
}


class BackPropagationLoops(Lesson):
    """A network with one output, y = -1 or 1, and the loss relu(1 - y f), in loops over single neurons.

    Args:
        widths: neurons of each layer, the input first; the last is 1.
    """

    def __init__(self, widths: list[Positive]) -> None:
        if len(widths) < 2 or widths[-1] != 1:
            raise UserError(f"lesson.widths={widths}: expected two layers or more, the last of 1 neuron")
        self.widths = widths

    def __call__(self) -> Findings:
        """The gradients of the loops beside those of ``loss.backward()``."""
        pairs = list(zip(self.widths[1:], self.widths[:-1], strict=True))
        weights = [torch.randn(size, dtype=torch.float64).requires_grad_() for size in pairs]
        x = torch.rand(self.widths[0], dtype=torch.float64)
        x[0] = -1.0  # an input below 0, which a ReLU cuts off
        layers = [x.requires_grad_()]
        for number, weight in enumerate(weights):
            layers.append(weight @ (layers[-1].relu() if number else layers[-1]))
        y = 1.0 if layers[-1].item() < 1 else -1.0  # so that the loss is not flat
        loss = (1 - y * layers[-1]).relu().sum()
        *right, last = torch.autograd.grad(loss, [*layers, *weights])
        of_layers, of_weights = right[: len(layers)], [*right[len(layers) :], last]

        w: Weights = [weight.tolist() for weight in weights]
        a, at_a, at_w = mended(w, x.tolist(), y)
        printed_a, printed_at_a, overruns = printed(w, x.tolist(), y)
        offs = {"activations": off(a, layers), "gradients": off(at_a, of_layers),
                "weights": max(off(one, list(other)) for one, other in zip(at_w, of_weights, strict=True))}  # fmt: skip
        metrics = {f"{name}_difference": value for name, value in offs.items()}
        metrics["printed_activation_difference"] = off(printed_a, layers)
        metrics["printed_gradient_difference"] = off(printed_at_a, of_layers)
        metrics["printed_index_errors"] = float(overruns)
        numbers: list[Row] = [
            {"neuron": f"layer {t}, {i}", "A, printed": printed_a[t][i], "A, mended": a[t][i],
             "A, torch": layers[t][i].item(), "DA, printed": printed_at_a[t][i], "DA, mended": at_a[t][i],
             "DA, torch": float(of_layers[t][i])}
            for t, width in enumerate(self.widths) for i in range(width)
        ]  # fmt: skip
        faults: list[Row] = [{"line": name, "what is wrong": text} for name, text in FAULTS.items()]
        figures = {"gradients": draw(printed_at_a, at_a, of_layers)}
        return Findings(metrics, figures, {"neurons": numbers, "as_listed": faults})


def mended(w: Weights, x: list[float], y: float) -> tuple[Activations, Activations, Weights]:
    """A, DA and the gradients of the weights."""
    z = len(w)
    a = [x, *([0.0] * len(layer) for layer in w)]
    for t in range(1, z + 1):
        for i in range(len(a[t])):
            for j in range(len(a[t - 1])):
                a[t][i] += (relu(a[t - 1][j]) if t > 1 else a[0][j]) * w[t - 1][i][j]
    at_a = [[0.0] * len(layer) for layer in a]
    at_w = [[[0.0] * len(row) for row in layer] for layer in w]
    at_a[z][0] = -y if 1 - y * a[z][0] > 0 else 0.0
    for t in range(z - 1, -1, -1):
        for j in range(len(a[t])):
            for i in range(len(a[t + 1])):
                slope = float(a[t][j] > 0) if t > 0 else 1.0
                at_a[t][j] += at_a[t + 1][i] * w[t][i][j] * slope
                at_w[t][i][j] = at_a[t + 1][i] * (relu(a[t][j]) if t > 0 else a[0][j])
    return a, at_a, at_w


def printed(w: Weights, x: list[float], y: float) -> tuple[Activations, Activations, int]:
    """A and DA as listed, but for steps of the loop that would end it; and how many of these there are."""
    z, overruns = len(w), 0
    a = [x, *([0.0] * len(layer) for layer in w)]
    for t in range(1, z + 1):
        for i in range(len(a[t])):
            for j in range(len(a[t - 1])):
                a[t][i] += relu(a[t - 1][j]) * w[t - 1][i][j]
    at_a = [[0.0] * len(layer) for layer in a]
    at_a[z][0] = relu(1 - y * a[z][0])
    for t in range(z, 0, -1):
        try:
            for j in range(len(a[t])):
                for i in range(len(a[t + 1])):
                    at_a[t][j] += at_a[t + 1][i] * w[t][i][j] * float(a[t][j] > 0)
        except IndexError:
            overruns += 1
    return a, at_a, overruns


def relu(value: float) -> float:
    """The value, or 0 where it is negative."""
    return max(value, 0.0)


def off(lists: Activations, tensors: list[Tensor]) -> float:
    """The largest difference."""
    pairs = zip(lists, tensors, strict=True)
    return max(float((torch.tensor(one, dtype=torch.float64) - other.detach()).abs().max()) for one, other in pairs)


def draw(printed: Activations, mended: Activations, torchs: list[Tensor]) -> Figure:
    """The gradient of every neuron, by all three."""
    figure, axes = slide("Loops of back-propagation, mended: those of loss.backward()", 1, len(mended), sharey=True)
    for t, (each, one, two, three) in enumerate(zip(axes, printed, mended, torchs, strict=True)):
        places = torch.arange(len(one)).double()
        each.bar(places - 0.25, three.tolist(), 0.24, label="loss.backward()")
        each.bar(places, two, 0.24, label="loops, mended")
        each.bar(places + 0.25, one, 0.24, label="loops, as listed")
        each.axhline(0, color="0.4", linewidth=0.8)
        each.set(xlabel="neuron", title="input" if t == 0 else f"layer {t}", xticks=range(len(one)))
    axes[0].set(ylabel="derivative of the loss")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
