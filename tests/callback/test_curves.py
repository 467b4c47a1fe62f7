"""The picture of a training's course."""

from __future__ import annotations

import csv
from pathlib import Path

from dlrun.callback.curves import by_quantity
from dlrun.figure.training import training
from dlrun.record import csv_file


def test_what_metrics_csv_has_is_drawn_losses_first(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    columns = ["epoch", "step", "learning_rate", "train/accuracy", "train/loss", "val/loss", "val/accuracy"]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, [1, 9, 0.1, 0.5, 2.5, "", ""], [2, 18, 0.05, 0.75, 1.25, 1.5, 0.625]])
    found = by_quantity(csv_file.rows(file))
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"] == {"train": [(1, 2.5), (2, 1.25)], "val": [(2, 1.5)]}
    assert found["accuracy"] == {"train": [(1, 0.5), (2, 0.75)], "val": [(2, 0.625)]}

    loss, accuracy = training(found, best=2).axes
    assert [plot.get_ylabel().split(" (")[0] for plot in (loss, accuracy)] == ["loss", "accuracy"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in accuracy.lines}  # type: ignore[union-attr]
    assert lines["training"] == [[1, 0.5], [2, 0.75]]
    assert lines["validation"] == [[2, 0.625]]
    assert [point[0] for point in lines["epoch that is kept"]] == [2, 2]


def test_a_loss_that_falls_far_has_a_logarithmic_axis_and_no_file_no_curves(tmp_path: Path) -> None:
    far, near = ({"loss": {"train": [(1.0, 10.0), (2.0, low)]}} for low in (0.1, 1.0))
    assert training(far).axes[0].get_yscale() == "log"
    assert training(near).axes[0].get_yscale() == "linear"
    assert by_quantity(csv_file.rows(tmp_path / "metrics.csv")) == {}
