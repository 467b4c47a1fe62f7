"""Curves as files, ``curves/NAME.csv`` in a run's folder: a sweep draws those of one name together."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from dlrun.files import append as append_to

FOLDER = "curves"


def path(folder: Path, name: str) -> Path:
    """Where a run keeps the curve of this name; its folder is there."""
    (folder / FOLDER).mkdir(exist_ok=True)
    return folder / FOLDER / f"{name}.csv"


def append(file: Path, axes: tuple[str, str], points: Sequence[tuple[float, float]]) -> None:
    """Add points to a curve; a new file begins with the names of its axes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if not file.exists() or not file.stat().st_size:
        writer.writerow(axes)
    writer.writerows(points)
    append_to(file, text.getvalue())


def read(file: Path) -> tuple[tuple[str, str], list[tuple[float, float]]]:
    """A curve's axes and points."""
    with file.open(encoding="utf-8") as stream:
        (x_name, y_name), *rows = csv.reader(stream)
    return (x_name, y_name), [(float(x), float(y)) for x, y in rows]
