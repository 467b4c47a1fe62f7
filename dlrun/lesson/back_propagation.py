"""Back-propagation by hand, number by number beside autograd (001_6d5271d093cc63ab.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Some
from dlrun.figure.graph import Graph, draw_graph
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

HIDDEN = 3
Pairs = dict[str, tuple[Tensor, Tensor]]
"""By name a gradient by hand, and autograd's."""


class BackPropagation(Lesson):
    """z = 2 (x + 2)^2, a neuron, and a network of two layers, each differentiated by the chain rule.

    Neurons are sigmoids; the loss is half the squared error. ``nn.MSELoss`` has no such half, so its gradient is twice
    as large.

    Args:
        inputs: of the neuron and the network.
        target: what the output should be, between 0 and 1.
    """

    def __init__(self, inputs: Some[float], target: float) -> None:
        self.x, self.y = torch.tensor(inputs, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)

    def __call__(self) -> Findings:
        """A table for each of the three, and two graphs with their values."""
        x = torch.ones(1, requires_grad=True)
        (2 * (x + 2).square()).backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        neuron, halves, values = self.neuron()
        network = self.network()
        metrics = {
            "derivative_of_z": float(x.grad),
            "neuron_difference": largest(neuron),
            "network_difference": largest(network),
            "mse_loss_ratio": halves,
        }
        figures = {"square": draw_square(), "neuron": draw_neuron(values)}
        return Findings(metrics, figures, {"neuron": rows(neuron), "network": rows(network)})

    def neuron(self) -> tuple[Pairs, float, dict[str, float]]:
        """Of a neuron: its gradients; how much larger those of ``nn.MSELoss`` are; its values, to draw."""
        w, b = torch.randn(len(self.x)).double().requires_grad_(), torch.randn(()).double().requires_grad_()
        a = w @ self.x + b
        h = torch.sigmoid(a)
        loss = (self.y - h).square() / 2
        found = dict(zip("hawb", torch.autograd.grad(loss, (h, a, w, b), retain_graph=True), strict=True))
        (twice,) = torch.autograd.grad(torch.nn.functional.mse_loss(h, self.y), w)
        with torch.no_grad():
            at_h = -(self.y - h)
            at_a = at_h * h * (1 - h)
            hand = {"h": at_h, "a": at_a, "w": at_a * self.x, "b": at_a}
        values = {"a": a.item(), "h": h.item(), "loss": loss.item(), "at_h": at_h.item(), "at_a": at_a.item()}
        return {name: (hand[name], found[name]) for name in hand}, float(twice.norm() / found["w"].norm()), values

    def network(self) -> Pairs:
        """Of a network with a hidden layer: the gradient of every activation, weight and bias."""
        sizes = ((HIDDEN, len(self.x)), (HIDDEN,), (1, HIDDEN), (1,))
        w1, b1, w2, b2 = (torch.randn(*size, dtype=torch.float64).requires_grad_() for size in sizes)
        h1 = torch.sigmoid(w1 @ self.x + b1)
        h2 = torch.sigmoid(w2 @ h1 + b2)
        loss = (self.y - h2).square().sum() / 2
        names = ("h2", "w2", "b2", "h1", "w1", "b1")
        found = torch.autograd.grad(loss, (h2, w2, b2, h1, w1, b1))
        with torch.no_grad():
            at_h2 = h2 - self.y
            at_a2 = h2 * (1 - h2) * at_h2
            at_h1 = w2.T @ at_a2  # from every neuron that h1 feeds
            at_a1 = h1 * (1 - h1) * at_h1
            hand = (at_h2, torch.outer(at_a2, h1), at_a2, at_h1, torch.outer(at_a1, self.x), at_a1)
        return dict(zip(names, zip(hand, found, strict=True), strict=True))


def largest(pairs: Pairs) -> float:
    """The largest difference of a number by hand from autograd's."""
    return max(float((hand - found).abs().max()) for hand, found in pairs.values())


def rows(pairs: Pairs) -> list[Row]:
    """A line for each number."""
    return [
        {
            "gradient of": name if hand.numel() == 1 else f"{name}[{','.join(map(str, place.tolist()))}]",
            "by hand": float(hand[tuple(place)]),
            "autograd": float(found[tuple(place)]),
        }
        for name, (hand, found) in pairs.items()
        for place in torch.ones_like(hand).nonzero()
    ]


def draw_square() -> Figure:
    """The graph of z = 2 (x + 2)^2 at x = 1, with values and derivatives."""
    graph = Graph()
    graph.add("x", "x = 1\n∂z/∂x = 12", "parameter")
    graph.add("y", "y = x + 2 = 3\n∂z/∂y = 4y = 12", "operator", "x")
    graph.add("s", "s = y² = 9\n∂z/∂s = 2", "operator", "y")
    graph.add("z", "z = 2s = 18\n∂z/∂z = 1", "operator", "s")
    figure, (axes,) = slide("z = 2 (x + 2)²: values go to the right, derivatives come back", height=2.4)
    draw_graph(axes, graph, 11)
    return figure


def draw_neuron(values: dict[str, float]) -> Figure:
    """The graph of a neuron with its loss."""
    graph = Graph()
    given = {name: f"{value:.3f}" for name, value in values.items()}
    graph.add("w", "w, b", "parameter")
    graph.add("x", "x", "value")
    graph.add("a", f"a = w.x + b = {given['a']}\n∂loss/∂a = {given['at_a']}", "operator", "w", "x")
    graph.add("h", f"h = $\\sigma$(a) = {given['h']}\n∂loss/∂h = {given['at_h']}", "operator", "a")
    graph.add("loss", f"½ (y - h)² = {given['loss']}", "operator", "h")
    figure, (axes,) = slide("A neuron: ∂loss/∂w = -(y - h) · h (1 - h) · x", height=3)
    draw_graph(axes, graph, 11)
    return figure
