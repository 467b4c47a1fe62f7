"""The figures of a sweep: the curves of all jobs together, and the test against what is swept."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from dlrun.files import write_whole
from dlrun.record import curve_file as curve
from dlrun.run.sweep_table import table_rows


def draw(folder: Path) -> None:
    """Draw the curves of one name of all jobs together, and the test against the swept key, where it is a number."""
    from dlrun.figure.curves import curves
    from dlrun.record.recorder import DPI

    rows = [row for row in table_rows(folder) if row["status"] == "completed"]
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if rows else set()
    labels = {row["job"]: ", ".join(text for text in row["overrides"] if text not in shared) for row in rows}
    figures = {}
    for name in sorted({file.stem for file in folder.glob(f"*/{curve.FOLDER}/*.csv")}):
        found = {label: curve.read(folder / job / curve.FOLDER / f"{name}.csv") for job, label in labels.items()}
        axes = next(iter(found.values()))[0]
        figures[name] = curves(axes, {label: points for label, (_, points) in sorted(found.items(), key=_by_number)})
    points = [(label.split("="), row["metrics"]) for row, label in zip(rows, labels.values(), strict=True)]
    numbers = all(len(pair) == 2 and pair[0] != "seed" and _is_number(pair[1]) for pair, _ in points)
    if len(points) > 1 and numbers:
        at = sorted((float(value), metrics) for (_, value), metrics in points)
        kind = rows[0]["monitor"].split("_")[-1].split("/")[-1]
        names = [name for name in at[0][1] if name.startswith("test/") and name.endswith(kind)]
        lines = {name: [(value, metrics[name]) for value, metrics in at] for name in names}
        figures["test"] = curves((points[0][0][0], f"test {kind}"), lines)
    for name, figure in figures.items():
        (folder / "figures").mkdir(exist_ok=True)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        write_whole(folder / "figures" / f"{name}.png", buffer.getbuffer())


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) is not None


def _by_number(item: tuple[str, Any]) -> tuple[float, str]:
    """Labels in the order of their value, where that is a number."""
    value = item[0].split("=")[-1]
    return (float(value) if _is_number(value) else 0.0), item[0]
