"""What ``dlrun evaluate run=DIR dataset=OTHER`` says besides: how far the model falls away from its own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dlrun import build, console, paths
from dlrun.config import saved, trust
from dlrun.config.frozen import updated
from dlrun.config.invocation import Invocation
from dlrun.dataset.folder_tree import listed
from dlrun.errors import UserError
from dlrun.experiment.statistics import difference, wilson
from dlrun.figure.abroad import abroad as draw
from dlrun.model.inference import inference
from dlrun.record.recorder import Recorder
from dlrun.task.classification import ClassificationScores
from dlrun.trained import Trained
from dlrun.training.evaluation import score

ALL = "all"
"""What the row of all classes is called."""


@dataclass(frozen=True)
class Row:
    """Of one class, or of all that both sets of data have: right answers and examples, at home and abroad."""

    name: str
    home: tuple[int, int]
    abroad: tuple[int, int]

    @property
    def shares(self) -> tuple[float, float]:
        """Accuracy at home, and abroad."""
        return self.home[0] / self.home[1], self.abroad[0] / self.abroad[1]

    @property
    def fall(self) -> float:
        """How far it falls."""
        return self.shares[0] - self.shares[1]


def home_scores(config: DictConfig, invocation: Invocation, trained: Trained) -> ClassificationScores | None:
    """The scores of the model on the data of its run, where the command line names other data.

    Returns:
        None where there is nothing to compare: no other data is named, no classes are told apart, or the run's data is
        gone, which is said.
    """
    if config.run is None or "dataset" in invocation.reopened:
        return None
    run = paths.find_run(config.run)
    of_run = saved.load(run)
    saved.find_data(of_run, run)
    trust.check_objects(of_run, run, config.trust, ["dataset"])
    try:
        own = build.data(updated(trained.config, {"dataset": of_run.dataset}), trained.device, None, trained.classes)
        loader = own.evaluation(config.split, config.limit)
    except UserError as error:
        console.say(f"no comparison with the run's own data: {error}")
        return None
    with inference(trained.model):
        scores = score(trained.task, trained.model, loader, trained.precision, trained.division)
    return scores if isinstance(scores, ClassificationScores) else None


def compare(home: ClassificationScores, abroad: ClassificationScores, classes: Sequence[str]) -> list[Row]:
    """A row for all classes that both have examples of, and one for each of them."""
    counted = []
    for scores in (home, abroad):
        targets = scores.targets
        totals = targets.bincount(minlength=len(classes)).tolist()
        rights = targets[scores.predictions == targets].bincount(minlength=len(classes)).tolist()
        counted.append(list(zip(rights, totals, strict=True)))
    rows = [
        Row(name, at_home, away)
        for name, at_home, away in zip(classes, *counted, strict=True)
        if at_home[1] and away[1]
    ]
    sums = [tuple(map(sum, zip(*(getattr(row, side) for row in rows), strict=True))) for side in ("home", "abroad")]
    return [Row(ALL, *sums), *rows] if rows else []  # type: ignore[arg-type]


def show(rows: Sequence[Row], classes: Sequence[str], recorder: Recorder) -> dict[str, Any]:
    """Say and record the comparison.

    Returns:
        ``metrics``, and under ``without_partner`` the classes of the model that only one of the two has.
    """
    table = Table("class", "at home", "abroad", "falls by", title="accuracy, with 95% intervals")
    for row in rows:
        table.add_row(
            row.name, _said(row.home), _said(row.abroad), _interval(row.fall, difference(row.home, row.abroad))
        )
    missing = [name for name in classes if name not in {row.name for row in rows[1:]}]
    whole, low_high = rows[0], difference(rows[0].home, rows[0].abroad)
    console.say(table)
    if missing:
        console.say(f"without a partner, and not compared: {listed(missing)}")
    recorder.table("abroad", [_numbers(row) for row in rows])
    names, home, away = ([getattr(row, key) for row in rows] for key in ("name", "home", "abroad"))
    recorder.figure("abroad", draw(names, home, away))
    metrics = {"home/accuracy": whole.shares[0], "abroad/accuracy": whole.shares[1], "fall": whole.fall}
    metrics |= dict(zip(("fall_low", "fall_high"), low_high, strict=True))
    recorder.scalars(metrics, 0)
    return {"metrics": metrics, "without_partner": missing}


def _said(counts: tuple[int, int]) -> str:
    return f"{_interval(counts[0] / counts[1], wilson(*counts))} of {counts[1]:,}"


def _interval(value: float, ends: tuple[float, float]) -> str:
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def _numbers(row: Row) -> dict[str, Any]:
    """A row as a line of ``abroad.csv``."""
    found: dict[str, Any] = {"class": row.name}
    for name, counts in (("home", row.home), ("abroad", row.abroad)):
        low, high = wilson(*counts)
        found |= {f"{name}_examples": counts[1], f"{name}_accuracy": f"{counts[0] / counts[1]:.6f}"}
        found |= {f"{name}_low": f"{low:.6f}", f"{name}_high": f"{high:.6f}"}
    low, high = difference(row.home, row.abroad)
    return {**found, "fall": f"{row.fall:.6f}", "fall_low": f"{low:.6f}", "fall_high": f"{high:.6f}"}
