"""``dlrun evaluate run=DIR dataset=OTHER``: accuracy at home beside that abroad."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dlrun.experiment.statistics import difference, wilson
from tests.command.test_finetune import photos
from tests.conftest import QUICK, Dlrun, Train, result

Counts = dict[str, tuple[int, int]]


def counts(folder: str, classes: str) -> Counts:
    """Right answers and examples by class, by the table of all predictions."""
    with Path(folder, "predictions.csv").open(encoding="utf-8") as stream:
        rows = [(row["target"], int(row["correct"])) for row in csv.DictReader(stream)]
    own = {name: [right for target, right in rows if target == name] for name in classes}
    return {name: (sum(rights), len(rights)) for name, rights in own.items()}


def total(found: Counts) -> tuple[int, int]:
    rights, examples = zip(*found.values(), strict=True)
    return sum(rights), sum(examples)


def test_the_classes_of_both_are_compared_with_their_intervals(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "hydra.run.dir=run")
    assert dlrun("evaluate", "run=run", "hydra.run.dir=home").status == 0
    assert "home/accuracy" not in result(Path("home"))["metrics"]
    ended = dlrun("evaluate", "run=run", "dataset=printed_digits", "dataset.classes=[7,3]", "hydra.run.dir=abroad")
    assert ended.status == 0, ended.err
    found = result(Path("abroad"))
    at_home, away = counts("home", "37"), counts("abroad", "37")
    assert total(away)[1] == 72
    (right, examples), (others, abroad) = total(at_home), total(away)
    low, high = difference((right, examples), (others, abroad))
    assert {name: found["metrics"][name] for name in ("home/accuracy", "abroad/accuracy", "fall")} == pytest.approx(
        {
            "home/accuracy": right / examples,
            "abroad/accuracy": others / abroad,
            "fall": right / examples - others / abroad,
        }
    )
    assert found["metrics"]["abroad/accuracy"] == found["metrics"]["test/accuracy"]
    assert (found["metrics"]["fall_low"], found["metrics"]["fall_high"]) == pytest.approx((low, high))
    assert found["without_partner"] == list("01245689")
    assert "without a partner, and not compared: 0, 1, 2, 4, 5, and 3 more" in ended.out
    with Path("abroad/abroad.csv").open(encoding="utf-8") as stream:
        rows = {row["class"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["all", "3", "7"]
    for name in "37":
        assert float(rows[name]["home_accuracy"]) == pytest.approx(at_home[name][0] / at_home[name][1], abs=1e-6)
        ends = (float(rows[name]["abroad_low"]), float(rows[name]["abroad_high"]))
        assert ends == pytest.approx(wilson(*away[name]), abs=1e-6)
    assert Path("abroad/abroad.png").is_file()


def test_data_of_the_run_that_is_gone_is_said(dlrun: Dlrun) -> None:
    photos(Path("photos"), ("1", "2"), count=20, side=8)
    quick = ("dataset=image_folder", "dataset.root=photos", "dataset.channels=1", *QUICK)
    assert dlrun("train", *quick, "hydra.run.dir=run").status == 0
    Path("photos").rename("moved")
    ended = dlrun("evaluate", "run=run", "dataset=digits", "hydra.run.dir=evaluate")
    assert ended.status == 0, ended.err
    assert "no comparison with the run's own data: dataset.root=photos: no such folder" in ended.out
    assert result(Path("evaluate"))["examples"] == 71


def test_the_interval_of_a_difference_is_the_published_one() -> None:
    assert difference((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # Newcombe 1998, table II, (a)
    assert difference((9, 10), (3, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)  # (b)
    low, high = difference((3, 10), (9, 10))
    assert (-high, -low) == pytest.approx(difference((9, 10), (3, 10)))
