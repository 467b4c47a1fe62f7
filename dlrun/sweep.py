"""The table of a sweep: one row for every job."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.table import Table

from dlrun import console, curve
from dlrun.files import write_whole


class SweepTable(Callback):
    """Prints the table when the last job of a sweep has ended; it is written after every job."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table; exit with 1 if a job failed."""
        folder = Path(config.hydra.sweep.dir)
        console.say(update(folder), f"sweep folder: {folder}")
        draw(folder)
        if any(row["status"] != "completed" or row["unmet"] for row in table_rows(folder)):
            sys.exit(1)  # Hydra swallows a callback's exceptions, but not an exit


def update(folder: Path) -> Table:
    """Write ``sweep.csv`` and ``sweep.md`` for the jobs of a sweep that have ended so far.

    Overrides that all jobs share are no column.

    Returns:
        The table, to print.
    """
    rows = table_rows(folder)
    monitor = next((row["monitor"] for row in rows if row["monitor"]), "best")
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    keys = list(dict.fromkeys(text.split("=")[0] for row in rows for text in row["overrides"] if text not in shared))
    columns = [*keys, monitor, monitor.replace("val/", "test/"), "seconds", "status"]
    table = Table(*columns, title=" ".join(sorted(shared)) or None)
    lines = []
    for row in rows:
        values = dict(override.split("=", 1) for override in row["overrides"])
        numbers = ["" if value is None else f"{value:.4f}" for value in (row["best"], row["test"])]
        status = row["status"] + (f": {row['error']}" if row["error"] else "")
        status += f", not met: {', '.join(row['unmet'])}" if row["unmet"] else ""
        lines.append([*(values.get(key, "") for key in keys), *numbers, f"{row['seconds']:.1f}", status])
        table.add_row(*lines[-1])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*columns, "folder"])
    writer.writerows([*line, row["job"]] for line, row in zip(lines, rows, strict=True))
    write_whole(folder / "sweep.csv", text.getvalue())
    markdown = [columns, ["---"] * len(columns), *lines]
    cells = ("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in markdown)
    write_whole(folder / "sweep.md", "\n".join(cells) + "\n")
    return table


def draw(folder: Path) -> None:
    """Draw the curves of one name of all jobs together, and the test against the swept key, where it is a number."""
    from dlrun.figure.curves import curves

    rows = [row for row in table_rows(folder) if row["status"] == "completed"]
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if rows else set()
    labels = {row["job"]: ", ".join(text for text in row["overrides"] if text not in shared) for row in rows}
    figures = {}
    for name in sorted({file.stem for file in folder.glob(f"*/{curve.FOLDER}/*.csv")}):
        found = {label: curve.read(folder / job / curve.FOLDER / f"{name}.csv") for job, label in labels.items()}
        axes = next(iter(found.values()))[0]
        figures[name] = curves(axes, {label: points for label, (_, points) in sorted(found.items(), key=_by_number)})
    points = [(label.split("="), row["metrics"]) for row, label in zip(rows, labels.values(), strict=True)]
    if len(points) > 1 and all(len(pair) == 2 and _is_number(pair[1]) for pair, _ in points):
        at = sorted((float(value), metrics) for (_, value), metrics in points)
        kind = rows[0]["monitor"].split("_")[-1].split("/")[-1]
        names = [name for name in at[0][1] if name.startswith("test/") and name.endswith(kind)]
        lines = {name: [(value, metrics[name]) for value, metrics in at] for name in names}
        figures["test"] = curves((points[0][0][0], f"test {kind}"), lines)
    for name, figure in figures.items():
        (folder / "figures").mkdir(exist_ok=True)
        figure.savefig(folder / "figures" / f"{name}.png", dpi=120)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) is not None


def _by_number(item: tuple[str, Any]) -> tuple[float, str]:
    """Labels in the order of their value, where that is a number."""
    value = item[0].split("=")[-1]
    return (float(value) if _is_number(value) else 0.0), item[0]


def table_rows(folder: Path) -> list[dict[str, Any]]:
    """A row for each job of a sweep, best validation first, those without one last."""
    rows = []
    for file in folder.glob("*/result.json"):
        result = json.loads(file.read_text())
        metrics, monitor = result["metrics"], result.get("monitor", "")
        rows.append(
            {
                "job": file.parent.name,
                "overrides": result["overrides"],
                "monitor": monitor,
                "metrics": metrics,
                "best": metrics.get(monitor),
                "test": metrics.get(monitor.replace("val/", "test/")),
                "seconds": result["seconds"],
                "status": result["status"],
                "error": result.get("error", ""),
                "unmet": [claim["metric"] for claim in result.get("expect", []) if not claim["met"]],
            }
        )
    rows.sort(key=lambda row: row["job"])
    ascending = any(row["monitor"].endswith(("loss", "error")) for row in rows)
    worst = float("inf")
    rows.sort(key=lambda row: worst if row["best"] is None else row["best"] * (1 if ascending else -1))
    return rows
