"""The report of experiments and lessons: a table of what they claim beside what was measured, and a page of figures."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dlrun.experiment import claims as expect
from dlrun.experiment import header
from dlrun.experiment.header import Experiment
from dlrun.files import write_whole

TABLE, PAGE, FIGURES = "README.md", "figures.md", "figures"
COLUMNS = ("experiment", "job", "metric", "claimed", "measured", "", "seconds")
NOT_RUN = "not run"
"""In place of met or NOT MET."""
COLORS = 256
"""Of a figure in the report: what a palette holds; plots look the same, photos nearly so."""
OF_ANY = ("curves", "samples", "most_wrong", "confusion_matrix")
"""Figures that any training draws: the page has them where an experiment says to look at them, or has no others."""


@dataclass
class Outcome:
    """What became of an experiment."""

    experiment: Experiment
    folder: Path
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """``result.json`` by job; a run that is no sweep has one, called ''."""
    error: str = ""
    left_out: str = ""
    """Why it did not run."""

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row for each claim, or for the reason why there is none."""
        name = self.experiment.name
        if self.left_out:
            return [(name, "", "", "", self.left_out, NOT_RUN, "")]
        rows: list[tuple[str, ...]] = []
        for job, result in self.results.items():
            device = result.get("environment", {}).get("device", "cpu")
            seconds = f"{result['seconds']:.0f}" + ("" if device.startswith("cpu") else f" on {device}")
            if result["status"] != "completed":
                rows.append((name, job, "", "", result.get("error", ""), "NOT MET", seconds))
            for claim in result.get("expect", []):
                value, met = expect.number(claim["value"]), "met" if claim["met"] else "NOT MET"
                rows.append((name, job, claim["metric"], claim["claim"], value, met, seconds))
        return rows if rows and not self.error else [*rows, (name, "", "", "", self.error or "nothing", "NOT MET", "")]


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write a report, or bring these experiments up to date in the one that the folder holds.

    Rows and figures of other experiments stay as they are, unless there is no experiment or lesson of that name; so do
    those of one that was measured before and is left out now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = old_rows(folder / TABLE)
    outcomes = [outcome for outcome in outcomes if not outcome.left_out or outcome.experiment.name not in old]
    rows = {outcome.experiment.name: [line(row) for row in outcome.rows] for outcome in outcomes}
    title = f"# Claimed and measured\n\nWritten by `dlrun reproduce`; the figures are in [{PAGE}]({PAGE}).\n\n"
    table = [line(COLUMNS), line(("---",) * len(COLUMNS)), *merged(old, rows)]
    write_whole(folder / TABLE, title + "\n".join(table) + "\n")
    sections = {outcome.experiment.name: section(outcome, folder / FIGURES) for outcome in outcomes}
    page = ["# Figures of experiments and lessons", "", *merged(old_sections(folder / PAGE), sections)]
    write_whole(folder / PAGE, "\n".join(page).rstrip() + "\n")


def line(row: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def merged(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> list[str]:
    """The lines of all experiments and lessons that there are, in their order; new ones take the place of old ones."""
    both = {**old, **new}
    return [line for group in header.GROUPS for name in header.names(group) for line in both.get(name, [])]


def old_rows(table: Path) -> dict[str, list[str]]:
    """The lines of a report's table by experiment; none where there is no report."""
    rows: dict[str, list[str]] = {}
    for text in table.read_text().splitlines() if table.exists() else []:
        if text.startswith("| "):
            rows.setdefault(text.split("|")[1].strip(), []).append(text)
    return rows


def old_sections(page: Path) -> dict[str, list[str]]:
    """The lines of a page of figures by experiment; none where there is no report."""
    sections = re.split(r"^## ", page.read_text(), flags=re.M)[1:] if page.exists() else []
    return {text.split("\n")[0]: [*f"## {text}".rstrip().split("\n"), ""] for text in sections}


def section(outcome: Outcome, figures: Path) -> list[str]:
    """The lines of a page of figures about an experiment, whose figures are copied; none where it has none."""
    found = outcome.experiment
    for stale in figures.glob(f"{found.name}-*.png"):
        stale.unlink()
    lines = [f"## {found.name}", "", found.title, "", found.header.get("Look at", ""), ""]
    # Of the run or the sweep, and of the verbs that follow on it; or else of the jobs.
    own = [*outcome.folder.glob("*.png"), *outcome.folder.glob("*/*.png")]
    drawn = chosen(sorted(own) or sorted(outcome.folder.glob("*/figures/*.png")), found.header.get("Look at", ""))
    for figure in drawn:
        job = figure.parent.relative_to(outcome.folder).parts[:1]
        name = "-".join([found.name, *(part for part in job if part != "figures"), figure.stem])
        copy(figure, figures / f"{name}.png")
        lines += [f"![{name}]({FIGURES}/{name}.png)", ""]
    return lines if drawn else []


def chosen(figures: Sequence[Path], look_at: str) -> list[Path]:
    """Those of an experiment's figures that the page shows; ``look_at`` is what its header says to look at."""
    special = [figure for figure in figures if figure.stem not in OF_ANY or figure.stem in look_at]
    return special or [figure for figure in figures if figure.stem == OF_ANY[0]]


def copy(source: Path, target: Path) -> None:
    """Copy a picture, in few colours."""
    target.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    with Image.open(source) as file:
        file.convert("RGB").quantize(COLORS).save(buffer, "PNG", optimize=True)
    write_whole(target, buffer.getbuffer(), sync=False)
