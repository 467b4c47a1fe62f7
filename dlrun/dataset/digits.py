"""The embedded dataset: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlrun.dataset.field import fit
from dlrun.dataset.source import Splits, from_arrays, stratified

SIDE, CLASSES = 8, 10


def load(image_size: int = 28) -> Splits:
    """The digits, resized once to ``image_size``, with a fixed stratified fifth of them as the test set."""
    rows = read()
    grey = np.rint(rows[:, :-1].reshape(-1, SIDE, SIDE) * (255 / 16)).astype(np.uint8)  # they count from 0 to 16
    source = from_arrays(grey, rows[:, -1].astype(np.int64))
    source.tensors["image"] = fit(source.tensors["image"], 1, image_size)
    train, test = stratified(source.targets, 0.2, seed=0)
    return Splits(source.subset(train), source.subset(test), [str(name) for name in range(CLASSES)])


@functools.cache
def read() -> NDArray[np.float64]:
    """A row for each digit, 64 pixels and the class; read once in a process: the jobs of a sweep share it."""
    rows: NDArray[np.float64] = np.loadtxt(file(), delimiter=",")
    return rows


def file() -> Path:
    """The file that scikit-learn's ``load_digits`` reads, found without importing it, which takes a second."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
