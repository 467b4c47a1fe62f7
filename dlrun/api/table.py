"""CSV files of a run as tables of Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from dlrun.record.csv_file import rows

Row = dict[str, Any]


def read(file: Path) -> Any:
    """A table: a DataFrame where pandas is installed, else a list of dicts."""
    if importlib.util.find_spec("pandas"):
        import pandas

        return pandas.DataFrame(rows(file))
    return rows(file)


def html(rows: Sequence[Row]) -> str:
    """Rows as a table of a web page."""
    if not rows:
        return "<p>no rows</p>"
    head = "".join(f"<th>{escape(str(key))}</th>" for key in rows[0])
    lines = ["".join(f"<td>{_shown(value)}</td>" for value in row.values()) for row in rows]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
