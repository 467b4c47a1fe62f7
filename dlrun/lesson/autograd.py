"""The examples of autograd, with the graphs that PyTorch records (000_9560d611d10ac6dd.txt)."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlrun.config.section import Positive
from dlrun.errors import UserError
from dlrun.figure.graph import Graph, draw_graph, of_autograd
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

SLICES, SIZE = 3, 10


class Autograd(Lesson):
    """Gradients of the document's examples, and the graph of each.

    Args:
        depths: how many of the three 10 x 10 weights u and v are sent through in q = u.v; the graph changes with it.
    """

    def __init__(self, depths: list[Positive]) -> None:
        if len(depths) != 2 or max(depths) > SLICES:
            raise UserError(f"lesson.depths={depths}: expected two numbers from 1 to {SLICES}, of u and of v")
        self.depths = depths

    def __call__(self) -> Findings:
        """Exact values in a table; three graphs."""
        rows: list[Row] = []
        metrics: dict[str, float] = {}

        def note(example: str, name: str, values: Tensor, exact: Tensor) -> None:
            for number, (value, right) in enumerate(zip(values.flatten(), exact.flatten(), strict=True), start=1):
                key = f"{name}_{number}" if exact.numel() > 1 else name
                metrics[key] = float(value)
                rows.append({"example": example, "number": key, "autograd": float(value), "by hand": float(right)})

        t = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
        note("sum of t^2", "squares", torch.autograd.grad(t.square().sum(), t)[0], 2 * t.detach())
        x = torch.tensor([0.0, 0.1, 0.2], requires_grad=True)
        for times in (1, 2):  # backward() adds to what is in x.grad
            torch.log(1 / (x + 1)).sum().backward()  # type: ignore[no-untyped-call]
            assert x.grad is not None
            note(f"sum of log(1/(x+1)), {times}x backward()", "logs" if times == 1 else "logs_twice",
                 x.grad.clone(), -times / (x.detach() + 1))  # fmt: skip
        x = torch.tensor([1.0, 2.0, 2.0], requires_grad=True)
        norm = x.norm()
        note("norm of (1, 2, 2)", "norm", norm.detach(), torch.tensor(3.0))
        note("norm of (1, 2, 2)", "norm_gradient", torch.autograd.grad(norm, x, retain_graph=True)[0], x.detach() / 3)
        network, difference = two_layers()
        depth, used = self.dynamic()
        metrics |= {"network_difference": difference, "graph_nodes": float(len(depth.labels) - 1)}
        metrics |= {f"weight_{number}_gradient_norm": value for number, value in enumerate(used, start=1)}
        u, v = self.depths
        figures = {
            "norm": draw(of_autograd(norm, {"x": x}), "The graph of q = x.norm()", 2.4, 12),
            "network": draw(network, "The graph of a network: tanh, tanh, mean squared error", 4.2, 8.5),
            "depth": draw(depth, f"q = u.v: u passes {u} of the weights, v passes {v}", 4.2, 8.5),
        }
        return Findings(metrics, figures, {"gradients": rows})

    def dynamic(self) -> tuple[Graph, list[float]]:
        """The graph of q = u.v, and the length of the gradient in each of the three weights."""
        w = torch.rand(SLICES, SIZE, SIZE, requires_grad=True)

        def passed(times: int, x: Tensor) -> Tensor:
            for number in range(times):
                x = torch.tanh(w[number] @ x)
            return x

        u, v = (passed(times, torch.rand(SIZE)) for times in self.depths)
        q = u.dot(v)
        (gradient,) = torch.autograd.grad(q, w, retain_graph=True)
        return of_autograd(q, {"w": w}), [float(each.norm()) for each in gradient]


def two_layers() -> tuple[Graph, float]:
    """The graph of a network 10-20-5 with its loss, and by what share its gradients by hand differ from autograd's.

    It is tanh(w2 tanh(w1 x + b1) + b2), with the mean squared error.

    The slide's weights, all between 0 and 1, saturate the tanh: gradients are small, and need double precision.
    """
    w1, b1, w2, b2 = (
        torch.rand(*size, dtype=torch.float64, requires_grad=True) for size in ((20, 10), (20,), (5, 20), (5,))
    )
    x, target = torch.rand(10, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    h = torch.tanh(w1 @ x + b1)
    y = torch.tanh(w2 @ h + b2)
    loss = (y - target).pow(2).mean()
    found = torch.autograd.grad(loss, (w1, b1, w2, b2), retain_graph=True)
    with torch.no_grad():
        at_b2 = 2 / 5 * (y - target) * (1 - y**2)
        at_b1 = (w2.T @ at_b2) * (1 - h**2)
        hand = (torch.outer(at_b1, x), at_b1, torch.outer(at_b2, h), at_b2)
    largest = max(float((one - other).norm() / one.norm()) for one, other in zip(found, hand, strict=True))
    return of_autograd(loss, {"w1": w1, "b1": b1, "w2": w2, "b2": b2}), largest


def draw(graph: Graph, title: str, height: float, size: float) -> Figure:
    """A graph on a slide of its own."""
    figure, (axes,) = slide(title, height=height)
    draw_graph(axes, graph, size)
    return figure
