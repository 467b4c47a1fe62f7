"""The table of a sweep: a row for every job, and one for every configuration that several seeds repeat."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from dlrun.files import write_whole
from dlrun.run.folder import RESULT, read_result

Row = dict[str, Any]


def update(folder: Path) -> list[Table]:
    """Write ``sweep.csv`` and ``sweep.md`` for the jobs of a sweep that have begun.

    Overrides that all jobs share are no column. Where configurations are repeated with several seeds, a second table
    gives mean, standard deviation and interval of each; it is ``repeats.csv`` too.

    Returns:
        The tables, to print.
    """
    rows = table_rows(folder)
    monitor = next((row["monitor"] for row in rows if row["monitor"]), "best")
    test = monitor.replace("val/", "test/")
    shared = set.intersection(*(set(row["overrides"]) for row in rows)) if len(rows) > 1 else set()
    names = list(dict.fromkeys(text.split("=")[0] for row in rows for text in row["overrides"] if text not in shared))
    lines = []
    for row in rows:
        values = dict(override.split("=", 1) for override in row["overrides"])
        status = row["status"] + (f": {row['note']}" if row["note"] else "")
        status += f", not met: {', '.join(row['unmet'])}" if row["unmet"] else ""
        figures = [_figure(row["best"]), _figure(row["test"]), f"{row['seconds']:.1f}", status]
        lines.append([*(values.get(name, "") for name in names), *figures])
    columns = [*names, monitor, test, "seconds", "status"]
    title = " ".join(sorted(shared)) or None
    _write_csv(
        folder / "sweep.csv", [*columns, "folder"], [[*line, row["job"]] for line, row in zip(lines, rows, strict=True)]
    )
    markdown = _markdown(columns, lines)
    tables = [_table(columns, lines, title)]
    if repeated := repeats(rows):
        kept = [name for name in names if name != "seed"]
        columns = [*kept, "runs", *(f"{name} {what}" for name in (monitor, test) for what in ("mean", "std", "95% +-"))]
        lines = [
            [*(values.get(name, "") for name in kept), str(count), *map(_figure, (*best, *tested))]
            for values, count, best, tested in repeated
        ]
        _write_csv(folder / "repeats.csv", columns, lines)
        markdown += "\n" + _markdown(columns, lines)
        tables.append(_table(columns, lines, "mean over the seeds"))
    write_whole(folder / "sweep.md", markdown)
    return tables


def table_rows(folder: Path) -> list[Row]:
    """A row for each job of a sweep that has begun, best validation first, those without one last."""
    rows = []
    for file in folder.glob(f"*/{RESULT}"):
        result = read_result(file.parent)
        if not result:  # it is being started anew
            continue
        metrics, monitor = result["metrics"], result.get("monitor", "")
        rows.append(
            {
                "job": file.parent.name,
                "overrides": result["overrides"],
                "monitor": monitor,
                "higher_is_better": result.get("higher_is_better", True),
                "metrics": metrics,
                "best": _finite(metrics.get(monitor)),
                "test": _finite(metrics.get(monitor.replace("val/", "test/"))),
                "seconds": result["seconds"],
                "status": result["status"],
                "note": result.get("error") or result.get("stopped") or "",
                "claimed": [claim["metric"] for claim in result.get("expect", [])],
                "unmet": [claim["metric"] for claim in result.get("expect", []) if not claim["met"]],
            }
        )
    rows.sort(key=lambda row: row["job"])
    ascending = not all(row["higher_is_better"] for row in rows)
    rows.sort(key=lambda row: math.inf if row["best"] is None else row["best"] * (1 if ascending else -1))
    return rows


def repeats(rows: list[Row]) -> list[tuple[dict[str, str], int, list[float], list[float]]]:
    """The configurations that completed with more than one seed.

    Returns:
        For each its overrides, the number of seeds, and for the monitored and the test metric mean, standard deviation
        (of the sample) and half the width of the 95% interval of the mean (Student's t).
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["best"] is not None and row["test"] is not None:
            key = tuple(text for text in row["overrides"] if not text.startswith("seed="))
            groups.setdefault(key, []).append(row)
    found = []
    for key, members in groups.items():
        if len(members) > 1:
            best, test = (interval([row[name] for row in members]) for name in ("best", "test"))
            found.append((dict(text.split("=", 1) for text in key), len(members), best, test))
    return found


def interval(values: list[float]) -> list[float]:
    """Mean, standard deviation of the sample, and half the width of the 95% interval of the mean (Student's t)."""
    from scipy.special import stdtrit  # slow to import, and seldom needed; scipy.stats takes twice as long

    deviation = stdev(values)
    return [mean(values), deviation, float(stdtrit(len(values) - 1, 0.975)) * deviation / math.sqrt(len(values))]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(columns: list[str], lines: list[list[str]], title: str | None) -> Table:
    table = Table(*columns, title=title)
    for line in lines:
        table.add_row(*line)
    return table


def _markdown(columns: list[str], lines: list[list[str]]) -> str:
    cells = (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (columns, ["---"] * len(columns), *lines)
    )
    return "\n".join(cells) + "\n"


def _write_csv(file: Path, columns: list[str], lines: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *lines])
    write_whole(file, text.getvalue())
