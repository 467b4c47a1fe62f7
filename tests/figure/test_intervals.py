"""Intervals are drawn where they are calculated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from scipy import stats

from dlrun.figure.accuracy_curve import curve
from dlrun.figure.confusion_matrix import confusion_matrix
from dlrun.figure.faithfulness import faithfulness
from dlrun.run.sweep_figures import swept_test
from dlrun.run.sweep_table import Row


def bars(axes: Axes, place: int) -> list[list[float]]:
    """The ends of the error bars of one line, upwards."""
    found = [lines for lines in axes.collections if isinstance(lines, LineCollection)][place]
    return [segment[:, 1].tolist() for segment in found.get_segments()]


def test_an_accuracy_has_wilsons_interval_in_the_curve_and_in_the_confusion_matrix() -> None:
    (axes,) = curve("", [0, 0.1], {"attacked": [0.9, 0.2], "certified": [0.8, 0.0]}, 50, "linf").axes
    for place, counts in enumerate([(45, 10), (40, 0)]):
        for ends, count in zip(bars(axes, place), counts, strict=True):
            expected = stats.binomtest(count, 50).proportion_ci(method="wilson")
            assert ends == pytest.approx([expected.low, expected.high], abs=1e-6)
    title = confusion_matrix(torch.tensor([[40, 10], [0, 50]]), ["cat", "dog"]).get_suptitle()
    interval = stats.binomtest(90, 100).proportion_ci(method="wilson")
    assert f"90.0% (95% interval {interval.low:.1%} to {interval.high:.1%})" in title.replace("\n", " ")
    assert title.endswith("most often cat is taken for dog")


def test_faithfulness_has_two_standard_errors_of_the_mean() -> None:
    deletion, insertion = torch.tensor([[0.1], [0.2], [0.6]]), torch.tensor([[0.5], [0.9], [1.0]])
    axes = faithfulness("", {"grad_cam": (deletion, insertion)}).axes[2]
    (segment,) = next(lines for lines in axes.collections if isinstance(lines, LineCollection)).get_segments()
    margins = (insertion - deletion).flatten().numpy()
    half = 2 * stats.sem(margins)
    assert segment[:, 0] == pytest.approx([margins.mean() - half, margins.mean() + half], abs=1e-6)


def test_a_sweep_over_seeds_shows_the_mean_and_students_interval() -> None:
    values = {"0.1": [0.8, 0.9, 0.85], "0.01": [0.5, 0.7, 0.9]}
    rows: list[Row] = [
        {"overrides": [f"lr={lr}", f"seed={seed}"], "monitor": "val/accuracy", "metrics": {"test/accuracy": value}}
        for lr, members in values.items()
        for seed, value in enumerate(members)
    ]
    figure = swept_test(rows, set())
    assert figure is not None
    assert "3 seeds" in figure.get_suptitle()
    for ends, lr in zip(bars(figure.axes[0], 0), ("0.01", "0.1"), strict=True):
        expected = stats.t.interval(0.95, 2, np.mean(values[lr]), stats.sem(values[lr]))
        assert ends == pytest.approx(expected)
    assert swept_test([{**row, "overrides": row["overrides"][1:]} for row in rows], set()) is None
    assert swept_test([{**row, "metrics": {}} for row in rows], set()) is None  # of a verb that tests nothing
