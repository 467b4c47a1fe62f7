"""The graph that PyTorch records, and where its boxes stand."""

from __future__ import annotations

import torch

from dlrun.figure.graph import Graph, of_autograd


def test_the_graph_of_a_calculation_has_its_operators_once_and_an_edge_for_each_use() -> None:
    w = torch.ones(2, requires_grad=True)
    graph = of_autograd((w * w).sum(), {"w": w})
    labels = [graph.labels[node] for node in graph.labels]
    assert sorted(labels) == ["Mul", "Sum", "result", "w\n2"]
    edges = [(graph.labels[source], graph.labels[target]) for source, target in graph.edges]
    assert edges == [("w\n2", "Mul"), ("w\n2", "Mul"), ("Mul", "Sum"), ("Sum", "result")]


def test_a_node_stands_left_of_all_that_use_it_and_no_two_in_one_place() -> None:
    graph = Graph()
    graph.add("a", "a", "parameter")
    graph.add("b", "b", "value")
    graph.add("c", "c", "operator", "a", "b")
    graph.add("d", "d", "operator", "a", "c")
    places = graph.places()
    assert {node: x for node, (x, _) in places.items()} == {"a": 0, "b": 0, "c": 1, "d": 2}
    assert abs(places["a"][1] - places["b"][1]) >= 1
    assert len({*places.values()}) == 4
