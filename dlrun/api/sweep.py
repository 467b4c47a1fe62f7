"""A sweep's folder, opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlrun import paths
from dlrun.api import table
from dlrun.api.run import Run
from dlrun.errors import UserError
from dlrun.record import csv_file


class Sweep:
    """What ``dlrun VERB -m`` leaves behind.

    Args:
        folder: of the sweep.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def table(self) -> Any:
        """A row for each job, the best one on top: a DataFrame where pandas is installed, else a list of dicts."""
        return table.read(self.folder / "sweep.csv")

    @property
    def runs(self) -> list[Run]:
        """The jobs in the order of the table."""
        return [Run(self.folder / str(row["folder"])) for row in csv_file.rows(self.folder / "sweep.csv")]

    @property
    def best(self) -> Run:
        """The job with the best result.

        Raises:
            UserError: the sweep has no job.
        """
        found = paths.best_job(self.folder)
        if found is None:
            raise UserError(f"{self.folder}: has no job that ran")
        return Run(found)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return table.html(csv_file.rows(self.folder / "sweep.csv"))
