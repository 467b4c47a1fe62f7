from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor

from dlrun.dataset import points
from dlrun.dataset.source import Splits, TensorSource


def arrays(splits: Splits, part: str = "train") -> tuple[Tensor, Tensor]:
    source = getattr(splits, part)
    assert isinstance(source, TensorSource)
    return source.tensors["point"], source.tensors["target"]


@pytest.mark.parametrize("splits", [points.gate("xor"), points.blobs(50), points.moons(50), points.polygons(50)])
def test_points_are_vectors_of_two_in_the_unit_square(splits: Splits) -> None:
    assert next(iter(splits.fields)) == "point"
    assert not splits.fields["point"].is_picture
    for source in (splits.train, splits.test):
        assert isinstance(source, TensorSource)
        items = [source[index] for index in range(len(source))]
        values = torch.stack([item["point"] for item in items])
        assert values.dtype == torch.float32
        assert values.shape == (len(source), 2)
        assert 0 <= values.min() <= values.max() <= 1
        assert {int(item["target"]) for item in items} == {0, 1}


@pytest.mark.parametrize(
    ("gate", "function"),
    [
        ("and", lambda a, b: a and b),
        ("or", lambda a, b: a or b),
        ("nand", lambda a, b: not (a and b)),
        ("nor", lambda a, b: not (a or b)),
        ("xor", lambda a, b: a != b),
    ],
)
def test_gates_are_their_truth_tables(gate: str, function: object) -> None:
    inputs, targets = arrays(points.gate(gate))  # type: ignore[arg-type]
    assert targets.tolist() == [int(function(*map(bool, pair))) for pair in inputs.tolist()]  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
def test_two_blobs_are_linearly_separable(seed: int) -> None:
    inputs, targets = arrays(points.blobs(200, seed=seed))
    assert LinearSVC(C=1e4, loss="hinge", max_iter=100_000).fit(inputs, targets).score(inputs, targets) == 1


def test_moons_without_noise_lie_on_half_circles() -> None:
    inputs, targets = arrays(points.moons(100, noise=0.0))
    centres = torch.tensor([[1.5, 1.75], [2.5, 2.25]]) / 4
    radii = (inputs - centres[targets]).norm(dim=1)
    torch.testing.assert_close(radii, torch.full((100,), 0.25))


def test_a_polygon_is_an_intersection_of_half_planes() -> None:
    inputs, targets = arrays(points.polygons(500))
    inside = torch.zeros(500, dtype=torch.bool)
    for corners in points.POLYGONS:
        ends = np.roll(np.array(corners), -1, axis=0)
        sides = []
        for (x0, y0), (x1, y1) in zip(corners, ends.tolist(), strict=True):
            sides.append((x1 - x0) * (inputs[:, 1] - y0) - (y1 - y0) * (inputs[:, 0] - x0))
        stacked = torch.stack(sides)
        inside |= (stacked > 0).all(dim=0) | (stacked < 0).all(dim=0)
    assert torch.equal(targets.bool(), inside)
    assert 0.15 < inside.float().mean() < 0.5
