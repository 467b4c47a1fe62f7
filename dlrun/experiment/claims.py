"""What an experiment claims: bounds on the metrics of a run, checked at its end."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.table import Table

from dlrun.errors import UserError, suggest

BESIDES = ("parameters", "trainable", "epochs", "steps", "seconds")
"""Figures of ``result.json`` that are no metrics, and can be bounded too."""
SHARES = (
    *("accuracy", "share", "probability", "agreement", "precision", "recall", "f1", "auc", "iou"),
    *("insertion", "deletion", "energy_in_region", "distinct_units"),
)
"""How the names of metrics end that lie in [0,1]."""
SIZES = ("loss", "error", "norm", "ratio", "updates", "bound", "field", "mib", "adds", "claims", "experiments", "met")
"""How the names of metrics end that are 0 or more, as are :data:`BESIDES`."""
BEYOND = 1e30
"""No metric of a run that works is larger."""


def limits(metric: str) -> tuple[float, float]:
    """The least and the largest value that a metric can have."""
    name = metric.rpartition("/")[2]
    if name.endswith(SHARES) or "probability/" in metric:
        return 0.0, 1.0
    if name.endswith("correlation"):
        return -1.0, 1.0
    return (0.0 if name.endswith((*SIZES, *BESIDES)) else -BEYOND), BEYOND


def named(limit: str) -> tuple[str, float]:
    """The metric that a bound names, and what is added to it.

    Example:
        >>> named("plain/test/accuracy - 0.01")
        ('plain/test/accuracy', -0.01)
    """
    shifted = re.fullmatch(r"(\S+) ([+-]) ?([\d.]+)", limit)
    return (shifted[1], float(shifted[2] + shifted[3])) if shifted else (limit, 0.0)


def faults(bounds: Mapping[str, Any] | None) -> list[str]:
    """A line for each bound that no result could break, such as an accuracy of 0 or more.

    Args:
        bounds: the section ``expect``; both ends of a bound may be null, which expects nothing of the metric.
    """
    found = []
    for metric, bound in (bounds or {}).items():
        low, high = limits(metric)
        given = {end: limit for end, limit in bound.items() if limit is not None}
        idle = [
            limit == metric if isinstance(limit, str) else limit <= low if end == "min" else limit >= high
            for end, limit in given.items()
        ]
        if not bound or (given and all(idle)):
            words = ", ".join(f"{end}: {limit}" for end, limit in given.items())
            between = f"between {number(low)} and {number(high)}" if high < BEYOND else f"above {number(low)}"
            expected = between if low > -BEYOND else "a smaller number"
            found.append(f"expect.{metric}={{{words}}}: no result could break this; expected a bound {expected}")
    return found


def held_to(config: Any, overrides: Sequence[str]) -> Mapping[str, Any]:
    """The bounds that a run is held to: its ``expect``; none where it is a lesson with options of the user's.

    Args:
        config: of the run.
        overrides: of its command line.
    """
    changed = [text for text in overrides if text.lstrip("+~").startswith("lesson.")]
    return {} if changed else config.get("expect") or {}


def check_names(bounds: Mapping[str, Any] | None, metrics: Collection[str], verbs: Collection[str] = ()) -> None:
    """Refuse bounds on metrics that the run will not write.

    Args:
        bounds: the section ``expect``: by metric ``min`` and ``max``, each a number, the name of another metric, or
            that and a number that is added to it or taken from it (``test/loss - 0.01``).
        metrics: what the run will write.
        verbs: names of those that follow on it; ``name/anything`` is theirs.

    Raises:
        UserError: names the one that is unknown.
    """
    known = {*metrics, *BESIDES}
    for name, bound in (bounds or {}).items():
        for key, value in ((f"expect.{name}", name), *((f"expect.{name}.{end}", bound[end]) for end in bound)):
            metric = named(value)[0] if isinstance(value, str) else None
            if metric is not None and metric not in known and metric.split("/")[0] not in verbs:
                raise UserError(f"{key}={value}: no such metric; {suggest(metric, known)}")


def judge(bounds: Mapping[str, Any] | None, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare a run's result with its bounds, both ends included.

    Returns:
        For each bound ``metric``, ``claim`` (in words), ``value``, ``met``, and ``bounds`` (in numbers, by end). A
        metric that is missing or NaN meets nothing; a bound whose ends are null is left out.
    """
    values = {name: float(result[name]) for name in BESIDES if name in result} | result.get("metrics", {})
    judged = []
    for name, bound in (bounds or {}).items():
        value = values.get(name)
        ends = {end: bound[end] for end in ("min", "max") if bound.get(end) is not None}
        if not ends:
            continue
        numbers = {end: _number(limit, values) for end, limit in ends.items()}
        met = value is not None and all(
            limit is not None and (value >= limit if end == "min" else value <= limit) for end, limit in numbers.items()
        )
        judged.append({"metric": name, "claim": _words(ends, numbers), "value": value, "met": met, "bounds": numbers})
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


def _number(limit: str | float, values: Mapping[str, float]) -> float | None:
    """A bound in numbers; None where the metric that it names is missing."""
    if not isinstance(limit, str):
        return limit
    metric, added = named(limit)
    return values[metric] + added if metric in values else None


def _words(ends: dict[str, Any], limits: dict[str, float | None]) -> str:
    if len(ends) == 2 and ends["min"] == ends["max"]:
        return number(limits["min"])
    signs = {"min": "≥", "max": "≤"}
    parts = []
    for end, limit in ends.items():
        named = f" ({limit})" if isinstance(limit, str) else ""
        parts.append(f"{signs[end]} {number(limits[end])}{named}")
    return ", ".join(parts)
