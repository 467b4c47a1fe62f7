"""What an experiment claims: bounds on the metrics of a run, checked at its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rich.table import Table

from dlrun.errors import UserError, suggest

BESIDES = ("parameters", "trainable", "epochs", "steps", "seconds")
"""Figures of ``result.json`` that are no metrics, and can be bounded too."""


def check_names(bounds: Mapping[str, Any] | None, metrics: Collection[str], verbs: Collection[str] = ()) -> None:
    """Refuse bounds on metrics that the run will not write.

    Args:
        bounds: the section ``expect``: by metric ``min`` and ``max``, each a number or the name of another metric.
        metrics: what the run will write.
        verbs: names of those that follow on it; ``name/anything`` is theirs.

    Raises:
        UserError: names the one that is unknown.
    """
    known = {*metrics, *BESIDES}
    for name, bound in (bounds or {}).items():
        for key, value in ((f"expect.{name}", name), *((f"expect.{name}.{end}", bound[end]) for end in bound)):
            if isinstance(value, str) and value not in known and value.split("/")[0] not in verbs:
                raise UserError(f"{key}={value}: no such metric; {suggest(value, known)}")


def judge(bounds: Mapping[str, Any] | None, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare a run's result with its bounds, both ends included.

    Returns:
        For each bound ``metric``, ``claim`` (in words), ``value`` and ``met``. A metric that is missing, or no number,
        meets nothing.
    """
    values = {name: float(result[name]) for name in BESIDES if name in result} | result.get("metrics", {})
    judged = []
    for name, bound in (bounds or {}).items():
        value = values.get(name)
        ends = {end: bound[end] for end in ("min", "max") if bound.get(end) is not None}
        limits = {end: values.get(limit) if isinstance(limit, str) else limit for end, limit in ends.items()}
        met = value is not None and all(
            limit is not None and (value >= limit if end == "min" else value <= limit) for end, limit in limits.items()
        )
        judged.append({"metric": name, "claim": _words(ends, limits), "value": value, "met": met})
    return judged


def number(value: float | None) -> str:
    """A metric in few digits: counts whole, fractions to four places, what is tiny or huge as a power of ten."""
    if value is None:
        return "missing"
    if 2 <= abs(value) < 1e12 and value == int(value):
        return f"{int(value):,}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.2e}"


def table(judged: list[dict[str, Any]]) -> Table:
    """What was expected beside what came out, to print."""
    made = Table("metric", "expected", "measured", "")
    for row in judged:
        made.add_row(row["metric"], row["claim"], number(row["value"]), "met" if row["met"] else "NOT MET")
    return made


def _words(ends: dict[str, Any], limits: dict[str, float | None]) -> str:
    if len(ends) == 2 and ends["min"] == ends["max"]:
        return number(limits["min"])
    signs = {"min": "≥", "max": "≤"}
    parts = []
    for end, limit in ends.items():
        named = f" ({limit})" if isinstance(limit, str) else ""
        parts.append(f"{signs[end]} {number(limits[end])}{named}")
    return ", ".join(parts)
