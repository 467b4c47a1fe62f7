"""Curves as files, ``curves/NAME.csv`` in a run's folder: a sweep draws those of one name together."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from dlrun.files import appending

FOLDER = "curves"


def path(folder: Path, name: str) -> Path:
    """Where a run keeps the curve of this name; its folder is there."""
    (folder / FOLDER).mkdir(exist_ok=True)
    return folder / FOLDER / f"{name}.csv"


def append(file: Path, axes: tuple[str, str], points: Sequence[tuple[float, float]]) -> None:
    """Add points to a curve; a new file begins with the names of its axes."""
    with appending(file) as stream:
        writer = csv.writer(stream)
        if stream.tell() == 0:
            writer.writerow(axes)
        writer.writerows(points)


def read(file: Path) -> tuple[tuple[str, str], list[tuple[float, float]]]:
    """A curve's axes and points."""
    with file.open(encoding="utf-8") as stream:
        (x_name, y_name), *rows = csv.reader(stream)
    return (x_name, y_name), [(float(x), float(y)) for x, y in rows]
