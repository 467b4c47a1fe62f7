"""A CSV file read again, with its numbers as numbers."""

from __future__ import annotations

import csv
from pathlib import Path

Cell = int | float | str | None


def rows(file: Path) -> list[dict[str, Cell]]:
    """The rows by column, numbers as numbers and empty cells as None; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [{key: _cell(text) for key, text in row.items()} for row in csv.DictReader(stream)]


def _cell(text: str) -> Cell:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
