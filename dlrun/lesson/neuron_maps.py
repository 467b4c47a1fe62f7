"""What each neuron has learned, over training (001_6d5271d093cc63ab.txt, the playground)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import make_circles, make_moons
from torch import Tensor, nn

from dlrun.config.section import Natural, Positive, PositiveFloat, Some
from dlrun.figure.slide import slide
from dlrun.lesson.lesson import Findings, Lesson, Row

COUNT, PIXELS, GAP, LIMIT = 300, 60, 6, 1.3
Data = Literal["moons", "circles", "xor", "spirals"]


def moons(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other."""
    points, targets = make_moons(COUNT, noise=0.1, random_state=seed)
    return (points - [0.5, 0.25]) / 1.3, targets


def circles(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A ring around a disc."""
    points, targets = make_circles(COUNT, noise=0.08, factor=0.4, random_state=seed)
    return points, targets


def xor(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Opposite quarters of a square belong together."""
    points = np.random.default_rng(seed).uniform(-1, 1, (COUNT, 2))
    return points, (points[:, 0] * points[:, 1] > 0).astype(int)


def spirals(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms, each a turn and a half."""
    rng = np.random.default_rng(seed)
    along, targets = np.sqrt(rng.uniform(0.02, 1, COUNT)), np.arange(COUNT) % 2
    angles = 3 * np.pi * along + np.pi * targets
    points = along[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points + rng.normal(0, 0.02, points.shape), targets


SOURCES: dict[Data, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "moons": moons,
    "circles": circles,
    "xor": xor,
    "spirals": spirals,
}


class NeuronMaps(Lesson):
    """A network of tanh neurons on points of two classes: what every neuron says of each place, as it learns.

    Args:
        data: the points.
        hidden: neurons of each hidden layer.
        moments: at which maps are drawn, in steps of Adam; the last is the end.
        lr: the learning rate.
    """

    def __init__(self, data: Some[Data], hidden: Some[Positive], moments: Some[Natural], lr: PositiveFloat) -> None:
        self.data, self.hidden, self.moments, self.lr = data, hidden, sorted(moments), lr

    def __call__(self) -> Findings:
        """A film strip for each layer and dataset; a row for each moment, a column for each neuron, the output last."""
        metrics: dict[str, float] = {}
        figures: dict[str, Figure] = {}
        rows: list[Row] = []
        for name in self.data:
            points, targets = SOURCES[name](int(torch.randint(2**31, ())))
            x, y = torch.from_numpy(points).float(), torch.from_numpy(targets).float()
            maps, accuracies = self.train(x, y)
            metrics[f"{name}_accuracy"] = accuracies[-1]
            rows += [{"data": name, "step": step, "training accuracy": accuracy}
                     for step, accuracy in zip(self.moments, accuracies, strict=True)]  # fmt: skip
            for layer in range(len(self.hidden)):
                strip = [[*at[layer], at[-1][0]] for at in maps]
                figures[f"{name}_{layer + 1}" if len(self.hidden) > 1 else name] = self.draw(
                    name, layer, strip, x, y, accuracies
                )
        return Findings(metrics, figures, {"accuracies": rows})

    def train(self, x: Tensor, y: Tensor) -> tuple[list[list[Tensor]], list[float]]:
        """At each moment, by layer the maps of its neurons (n, S, S); and the training accuracies."""
        widths = [2, *self.hidden]
        layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in itertools.pairwise(widths)]
        network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr, fused=True)
        axis = torch.linspace(-LIMIT, LIMIT, PIXELS)
        across, up = torch.meshgrid(axis, axis, indexing="xy")
        grid = torch.stack([across, up], dim=-1).flatten(0, 1)
        maps, accuracies = [], []
        for step in range(self.moments[-1] + 1):
            if step in self.moments:
                with torch.no_grad():
                    values, here = [], grid
                    for layer in network:
                        here = layer(here)
                        values.append(here.T.reshape(-1, PIXELS, PIXELS))
                    maps.append([*values[:-1], values[-1].tanh()])
                    accuracies.append(float(((network(x)[:, 0] > 0) == y.bool()).float().mean()))
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return maps, accuracies

    def draw(
        self, name: str, layer: int, strip: list[list[Tensor]], x: Tensor, y: Tensor, accuracies: list[float]
    ) -> Figure:
        """The strip of a layer: one picture, with a gap of a few pixels around each map."""
        rows, columns, pitch = len(strip), len(strip[0]), PIXELS + GAP
        page = torch.full((rows * pitch, columns * pitch), torch.nan)
        for row, maps in enumerate(strip):
            for column, values in enumerate(maps):
                page[row * pitch :, column * pitch :][:PIXELS, :PIXELS] = values.flip(0)
        title = f"What the neurons of layer {layer + 1} learn: {name}"
        figure, (axes,) = slide(title, height=max(5 / columns * rows + 1, 3))
        image = axes.imshow(page, cmap="PuOr", vmin=-1, vmax=1)
        left, scale = (columns - 1) * pitch, PIXELS / (2 * LIMIT)
        for row in range(rows):
            right, down = left + (x[:, 0] + LIMIT) * scale, row * pitch + (LIMIT - x[:, 1]) * scale
            axes.scatter(right, down, c=y, cmap="gray", s=1.5, linewidths=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        middles = [PIXELS / 2 + pitch * number for number in range(max(rows, columns))]
        axes.set_xticks(middles[:columns], [*(f"{number}" for number in range(1, columns)), "output"])
        labels = [f"{step:,}: {share:.0%}" for step, share in zip(self.moments, accuracies, strict=True)]
        axes.set_yticks(middles[:rows], labels)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.set(xlabel="neuron; the last column is the network with the points", ylabel="step: training accuracy")
        figure.colorbar(image, ax=axes, label="tanh of what it says", shrink=0.7, aspect=30)
        return figure
