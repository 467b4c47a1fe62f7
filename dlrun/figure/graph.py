"""The graph of a calculation: boxes and arrows, from what is given on the left to the result on the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.axes import Axes
from torch import Tensor

from dlrun.figure.slide import COLOURS

Kind = Literal["parameter", "value", "operator"]
FACES = {"parameter": "#F9E0B5", "value": "#DDDDDD", "operator": "#CFE5F5"}
EDGES = {"parameter": COLOURS[4], "value": "0.4", "operator": COLOURS[0]}


@dataclass
class Graph:
    """An acyclic graph of a calculation."""

    labels: dict[str, str] = field(default_factory=dict)
    """By node what its box says."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """By node whether it is a parameter, another value that is given, or an operator."""
    edges: list[tuple[str, str]] = field(default_factory=list)
    """From a node to one that uses it."""

    def add(self, node: str, label: str, kind: Kind, *uses: str) -> None:
        """A node, with the nodes that it uses; what it uses twice is named twice."""
        self.labels[node], self.kinds[node] = label, kind
        self.edges += [(each, node) for each in uses]

    def places(self) -> dict[str, tuple[float, float]]:
        """A place for each node: x, the columns before its result's, in whole numbers up from 0; y around 0.

        Each node stands one column before the first that uses it, at the mean height of its users, 1 or more apart.
        """
        users: dict[str, list[str]] = {node: [] for node in self.labels}
        for source, target in self.edges:
            users[source].append(target)
        heights: dict[str, int] = {}

        def height(node: str) -> int:
            if node not in heights:
                heights[node] = max((height(user) + 1 for user in users[node]), default=0)
            return heights[node]

        deepest = max(map(height, self.labels))
        found: dict[str, tuple[float, float]] = {}
        for level in range(deepest + 1):
            column = [node for node in self.labels if heights[node] == level]
            above = {node: sum(found[user][1] for user in users[node]) / max(len(users[node]), 1) for node in column}
            column.sort(key=lambda node: -above[node])
            heights_of: list[float] = []
            for node in column:
                heights_of.append(min([above[node], *(y - 1 for y in heights_of[-1:])]))
            shift = sum(above[node] - y for node, y in zip(column, heights_of, strict=True)) / len(column)
            found |= {node: (deepest - level, y + shift) for node, y in zip(column, heights_of, strict=True)}
        return found


def of_autograd(result: Tensor, names: Mapping[str, Tensor]) -> Graph:
    """The graph that PyTorch has recorded of a calculation.

    Args:
        result: what was calculated; its name is ``result``.
        names: by name the tensors that require gradients.
    """
    graph, known = Graph(), {id(tensor): name for name, tensor in names.items()}
    done: dict[Any, str] = {}

    def visit(node: Any) -> str:
        if node not in done:
            done[node] = f"node {len(done)}"
            below = [visit(each) for each, _ in node.next_functions if each is not None]
            if hasattr(node, "variable"):
                tensor = node.variable
                size = "x".join(map(str, tensor.shape)) or "one number"
                graph.add(done[node], f"{known.get(id(tensor), 'tensor')}\n{size}", "parameter")
            else:
                graph.add(
                    done[node], type(node).__name__.removesuffix("0").removesuffix("Backward"), "operator", *below
                )
        return done[node]

    graph.add("result", "result", "value", visit(result.grad_fn))
    return graph


def draw_graph(axes: Axes, graph: Graph, size: float = 9) -> None:
    """Draw a graph.

    Args:
        axes: to draw it on; they lose their frame.
        graph: what to draw.
        size: of the letters, in points.
    """
    places, boxes = graph.places(), {}
    for node, (x, y) in places.items():
        kind = graph.kinds[node]
        box = {"boxstyle": "round,pad=0.35", "facecolor": FACES[kind], "edgecolor": EDGES[kind], "linewidth": 1.5}
        text = axes.text(x, y, graph.labels[node], ha="center", va="center", fontsize=size, bbox=box)
        boxes[node] = text.get_bbox_patch()
    for source, target in graph.edges:
        (x, y), (to_x, to_y) = places[source], places[target]
        slope = (to_y - y) / (to_x - x)
        between = [abs(y + slope * (at - x) - height) for at, height in places.values() if x < at < to_x]
        bend = 0.3 if min(between, default=1.0) < 0.7 else 0.0
        arrow = {"arrowstyle": "-|>", "color": "0.35", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 0}
        ends = {"patchA": boxes[source], "patchB": boxes[target], "shrinkB": 2}
        axes.annotate("", (to_x, to_y), (x, y), arrowprops={**arrow, **ends}, zorder=4)
    columns, rows = [x for x, _ in places.values()], [y for _, y in places.values()]
    axes.set(xlim=(-0.6, max(columns) + 0.6), ylim=(min(rows) - 0.6, max(rows) + 0.6))
    axes.axis("off")
