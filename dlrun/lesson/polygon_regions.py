"""Regions of the plane by AND and OR of neurons, with weights set by hand (001_6d5271d093cc63ab.txt)."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.path import Path
from torch import Tensor, nn

from dlrun.config.section import Positive
from dlrun.dataset.points import GATES, POLYGONS
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.lesson import Findings, Lesson, Row

Layer = tuple[Tensor, Tensor]
"""Weights (out, in) and biases (out,)."""
TRIES = 3
"""Trainings, since one may get stuck."""
INPUTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


def neurons(layer: Layer, inputs: Tensor) -> Tensor:
    """What threshold neurons say: 1 where w.x + b > 0, else 0."""
    return (inputs @ layer[0].T + layer[1] > 0).double()


def both(count: int, first: int, inputs: int) -> tuple[list[float], float]:
    """Weights and bias of an AND of ``count`` of the inputs, from ``first`` on."""
    return [float(first <= number < first + count) for number in range(inputs)], 0.5 - count


def half_planes(corners: list[tuple[float, float]]) -> tuple[list[list[float]], list[float]]:
    """A neuron for each side of a convex polygon, its corners counter-clockwise: 1 on the inner side."""
    weights, biases = [], []
    for (x, y), (to_x, to_y) in zip(corners, corners[1:] + corners[:1], strict=True):
        weights.append([y - to_y, to_x - x])
        biases.append(x * to_y - to_x * y)
    return weights, biases


def by_hand() -> list[Layer]:
    """Half-planes, an AND for each polygon, an OR of both."""
    sides = [half_planes(corners) for corners in POLYGONS]
    count = sum(len(biases) for _, biases in sides)
    starts = [sum(len(biases) for _, biases in sides[:number]) for number in range(len(sides))]
    ands = [both(len(biases), start, count) for (_, biases), start in zip(sides, starts, strict=True)]
    layers = [
        ([row for weights, _ in sides for row in weights], [bias for _, biases in sides for bias in biases]),
        ([weights for weights, _ in ands], [bias for _, bias in ands]),
        ([[1.0] * len(ands)], [-0.5]),
    ]
    return [(torch.tensor(w, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)) for w, b in layers]


class PolygonRegions(Lesson):
    """Two polygons by a network 2-7-2-1 of threshold neurons, whose weights are set by hand.

    Beside it stands what gradient descent finds, with sigmoids in the same places.

    Args:
        grid: points along each side of the unit square.
        steps: of Adam, for the network that is trained.
    """

    def __init__(self, grid: Positive, steps: Positive) -> None:
        self.grid, self.steps = grid, steps

    def __call__(self) -> Findings:
        """Every point of the grid, by hand and by training; the truth tables of AND and OR."""
        axis = (torch.arange(self.grid, dtype=torch.float64) + 1 / torch.pi) / self.grid  # no point lies on a side
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        points = torch.stack([x, y], dim=-1).flatten(0, 1)
        inside = np.any([Path(corners).contains_points(points.numpy()) for corners in POLYGONS], axis=0)
        truth = torch.from_numpy(inside)
        layers, outputs = by_hand(), [points]
        for layer in layers:
            outputs.append(neurons(layer, outputs[-1]))
        trained = self.train(points.float(), truth)
        gates: list[Row] = []
        for name, bias in (("and", -1.5), ("or", -0.5)):
            said = neurons((torch.ones(1, 2).double(), torch.tensor([bias]).double()), INPUTS)[:, 0].tolist()
            gates += [
                {"gate": name, "x1": int(a), "x2": int(b), "neuron": int(one), "should be": right}
                for (a, b), one, right in zip(INPUTS.tolist(), said, GATES[name], strict=True)
            ]
        metrics = {
            "gate_errors": float(sum(row["neuron"] != row["should be"] for row in gates)),
            "by_hand_errors": float((outputs[-1][:, 0].bool() != truth).sum()),
            "trained_accuracy": float((trained == truth).double().mean()),
            "weights": float(sum(w.numel() + b.numel() for w, b in layers)),
        }
        size = (self.grid, self.grid)
        maps = [output.T.reshape(-1, *size) for output in outputs[1:]]
        figures = {"regions": draw(maps[2][0], trained.reshape(size)), "neurons": draw_neurons(maps[0], maps[1])}
        return Findings(metrics, figures, {"gates": gates})

    def train(self, points: Tensor, truth: Tensor) -> Tensor:
        """What a trained network of the same widths says of each point, bool (N,); the best of a few trainings."""
        sides = sum(map(len, POLYGONS))
        loss = nn.BCEWithLogitsLoss()
        sample = torch.randperm(len(points))[:1000]
        found: list[tuple[float, Tensor]] = []
        for _ in range(TRIES):
            model = nn.Sequential(nn.Linear(2, sides), nn.Sigmoid(), nn.Linear(sides, 2), nn.Sigmoid(), nn.Linear(2, 1))
            optimizer = torch.optim.Adam(model.parameters(), lr=0.05, fused=True)
            for _ in range(self.steps):
                optimizer.zero_grad()
                total = loss(model(points[sample])[:, 0], truth[sample].float())
                total.backward()
                optimizer.step()
            with torch.no_grad():
                found.append((total.item(), model(points)[:, 0] > 0))
        return min(found, key=lambda each: each[0])[1]


def draw(hand: Tensor, trained: Tensor) -> Figure:
    """Both networks' maps."""
    figure, axes = slide("Two polygons by seven half-planes: by hand, and by training", 1, 2, 5, sharey=True)
    for each, values, title in zip(axes, (hand, trained), ("set by hand: exact", "trained, same size"), strict=True):
        each.imshow(values, extent=(0, 1, 0, 1), origin="lower", cmap="cividis", alpha=0.75)
        for corners in POLYGONS:
            each.plot(*zip(*[*corners, corners[0]], strict=True), color=COLOURS[1], linewidth=2.5)
        each.set(title=title, xlabel="x", xlim=(0, 1), ylim=(0, 1))
    axes[0].set(ylabel="y")
    return figure


def draw_neurons(sides: Tensor, ands: Tensor) -> Figure:
    """What each neuron of the two hidden layers says."""
    figure, axes = slide("A half-plane for each neuron, an AND for each polygon, an OR", 2, 5, 3.8)
    names = [*(f"side {number}" for number in range(1, len(sides) + 1)), "AND of 1 to 4", "AND of 5 to 7", "OR"]
    maps = [*sides, *ands, ands.amax(dim=0)]
    for each, values, name in zip(axes, maps, names, strict=True):
        each.imshow(values, origin="lower", cmap="cividis", vmin=0, vmax=1)
        each.set_title(name)
        each.set(xticks=(), yticks=())
    return figure
