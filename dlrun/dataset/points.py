"""Toy datasets of points in the unit square (001_6d5271d093cc63ab.txt, perceptron and multi-layer perceptron).

A point is a vector of x and y, float (2,).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from matplotlib.path import Path
from sklearn.datasets import make_moons

from dlrun.dataset.field import Field, Label, Vector
from dlrun.dataset.source import Splits, TensorSource

FIELDS: dict[str, Field] = {"point": Vector(), "target": Label()}

GATES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0], "nor": [1, 0, 0, 0], "xor": [0, 1, 1, 0]}
"""What each gate says to (0,0), (0,1), (1,0), (1,1)."""

POLYGONS = (
    [(0.08, 0.15), (0.45, 0.08), (0.42, 0.62), (0.15, 0.70)],
    [(0.55, 0.45), (0.92, 0.35), (0.85, 0.92)],
)
"""A quadrangle and a triangle, both convex: seven half-planes."""


def gate(gate: Literal["and", "or", "nand", "nor", "xor"]) -> Splits:
    """The truth table of a boolean function: four points, for training and for the test."""
    table = _source(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array(GATES[gate]))
    return Splits(table, table, ["0", "1"], fields=FIELDS)


def blobs(count: int, spread: float = 0.09, classes: int = 2, seed: int = 0) -> Splits:
    """Round clouds, their centres evenly on a circle: normal with deviation ``spread``, cut off at three of it.

    Two of them have a gap of 0.6 - 6 ``spread`` between them, and are linearly separable while it is positive.
    """
    rng = np.random.default_rng(seed)
    targets = np.arange(2 * count) % classes
    angles = 2 * np.pi * targets / classes + np.pi / 4
    offsets = rng.normal(0, spread, (2 * count, 2))
    lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
    offsets *= np.minimum(1, 3 * spread / lengths)
    centres = 0.5 + 0.3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _halves(centres + offsets, targets, [str(number) for number in range(classes)])


def moons(count: int, noise: float = 0.1, seed: int = 0) -> Splits:
    """Two half circles that reach into each other (scikit-learn's ``make_moons``), scaled by a quarter."""
    points, targets = make_moons(2 * count, noise=noise, random_state=seed)
    return _halves((points + np.array([1.5, 1.75])) / 4, targets, ["upper", "lower"])


def polygons(count: int, seed: int = 0) -> Splits:
    """Points all over the square; class 1 is the inside of either of two polygons."""
    points = np.random.default_rng(seed).random((2 * count, 2))
    inside = np.any([Path(corners).contains_points(points) for corners in POLYGONS], axis=0)
    return _halves(points, inside, ["outside", "inside"])


def _halves(points: np.ndarray, targets: np.ndarray, classes: list[str]) -> Splits:
    """The first half to train, the second to test."""
    half = len(points) // 2
    train, test = _source(points[:half], targets[:half]), _source(points[half:], targets[half:])
    return Splits(train, test, classes, fields=FIELDS)


def _source(points: np.ndarray, targets: np.ndarray) -> TensorSource:
    inside = torch.from_numpy(points).float().clamp(0, 1)
    return TensorSource({"point": inside, "target": torch.from_numpy(targets).long()})
