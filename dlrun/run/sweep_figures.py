"""The figures of a sweep: the curves of all jobs together, and the test against what is swept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.files import write_whole
from dlrun.record import curve_file as curve
from dlrun.run.sweep_table import Row, interval, table_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(folder: Path) -> None:
    """Draw the curves of one name of all jobs together, and the test against the swept key, where it is a number."""
    from dlrun.figure.curves import curves
    from dlrun.figure.slide import png

    rows = [row for row in table_rows(folder) if row["status"] == "completed"]
    if not rows:
        return
    shared = set.intersection(*(set(row["overrides"]) for row in rows))
    labels = {row["job"]: ", ".join(_brief(text) for text in row["overrides"] if text not in shared) for row in rows}
    figures = {}
    for name in sorted({file.stem for file in folder.glob(f"*/{curve.FOLDER}/*.csv")}):
        found = {label: curve.read(folder / job / curve.FOLDER / f"{name}.csv") for job, label in labels.items()}
        axes = next(iter(found.values()))[0]
        lines = {label: points for label, (_, points) in sorted(found.items(), key=_by_number)}
        figures[name] = curves(f"{axes[1].capitalize()} of {len(lines)} runs", axes, lines)
    if against := swept_test(rows, shared):
        figures["test"] = against
    figures |= repeats(rows, [text for text in rows[0]["overrides"] if text not in shared])
    for name, figure in figures.items():
        (folder / "figures").mkdir(exist_ok=True)
        write_whole(folder / "figures" / f"{name}.png", png(figure))


def swept_test(rows: list[Row], shared: set[str]) -> Figure | None:
    """The test against the one key that is swept, if that is a number; of several seeds the mean with its interval."""
    from dlrun.figure.curves import curves

    swept = [[text.split("=", 1) for text in row["overrides"] if text not in shared] for row in rows]
    swept = [[pair for pair in pairs if pair[0] != "seed"] for pairs in swept]
    if not all(len(pairs) == 1 and _is_number(pairs[0][1]) for pairs in swept):
        return None
    groups: dict[float, list[dict[str, float]]] = {}
    for (pair,), row in sorted(zip(swept, rows, strict=True), key=lambda item: float(item[0][0][1])):
        groups.setdefault(float(pair[1]), []).append(row["metrics"])
    kind = rows[0]["monitor"].split("_")[-1].split("/")[-1]
    names = [name for name in next(iter(groups.values()))[0] if name.startswith("test/") and name.endswith(kind)]
    if len(groups) < 2 or not names:
        return None
    lines: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    halves: dict[str, list[float]] = {name: [] for name in names}
    for value, members in groups.items():
        for name in names:
            measured = [metrics[name] for metrics in members]
            mean, _, half = interval(measured) if len(measured) > 1 else (measured[0], 0.0, 0.0)
            lines[name].append((value, mean))
            halves[name].append(half)
    key, most = swept[0][0][0], max(map(len, groups.values()))
    how = "" if most == 1 else f": mean of {most} seeds, 95% interval"
    return curves(f"Test {kind} against {key}{how}", (key, f"test {kind}"), lines, halves if most > 1 else None)


def repeats(rows: list[dict[str, Any]], swept: list[str]) -> dict[str, Figure]:
    """A figure for each metric that the jobs claim something of, where several keys are swept, seeds among them.

    The key with the most values is the axis, one of numbers before others; of the others the one with the fewest makes
    panels where there are several, and the rest the lines.

    Args:
        rows: the jobs that completed.
        swept: the overrides of one of them that others do not share.
    """
    from dlrun.figure.repeated import repeated

    keys = [text.split("=")[0] for text in swept]
    if len(keys) < 2:
        return {}
    settings = [dict(text.split("=", 1) for text in row["overrides"]) for row in rows]
    values = {key: sorted({each[key] for each in settings}, key=_order) for key in keys if key != "seed"}
    ranked = sorted(values, key=lambda key: (all(map(_is_number, values[key])), len(values[key]), key))
    *others, axis = ranked
    panel = min(others, key=lambda key: (len(values[key]), key)) if len(others) > 1 else None
    found = {}
    for metric in dict.fromkeys(name for row in rows for name in row["claimed"]):
        grouped: dict[str, dict[str, dict[str, list[float]]]] = {}
        for row, setting in zip(rows, settings, strict=True):
            if metric in row["metrics"]:
                label = ", ".join(_brief(f"{key}={setting[key]}") for key in others if key != panel)
                lines = grouped.setdefault("" if panel is None else _brief(f"{panel}={setting[panel]}"), {})
                lines.setdefault(label, {}).setdefault(setting[axis], []).append(row["metrics"][metric])
        if grouped:
            panels = {
                name: {
                    label: {at: _interval(each) for at, each in line.items()} for label, line in sorted(lines.items())
                }
                for name, lines in sorted(grouped.items(), key=lambda item: _order(item[0].split("=")[-1]))
            }
            found[metric.replace("/", "_")] = repeated(metric, axis, values[axis], panels)
    return found


def _brief(override: str) -> str:
    """An override without the sections of its key: ``depth=20`` of ``model.depth=20``."""
    key, _, value = override.partition("=")
    return f"{key.rpartition('.')[2]}={value}"


def _interval(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], 0.0
    centre, _, half = interval(values)
    return centre, half


def _order(text: str) -> tuple[float, str]:
    return (float(text) if _is_number(text) else 0.0), text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) is not None


def _by_number(item: tuple[str, Any]) -> tuple[list[float], str]:
    """Labels in the order of their values, where these are numbers."""
    values = [text.split("=")[-1] for text in item[0].split(", ")]
    return [float(value) if _is_number(value) else 0.0 for value in values], item[0]
