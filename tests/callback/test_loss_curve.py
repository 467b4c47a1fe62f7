"""The loss curve: a point for each stretch of samples, wherever the trainer looks at its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from dlrun.callback.callback import StepLog
from dlrun.callback.loss_curve import LossCurve
from dlrun.training.trainer import Trainer

LOSSES = [5.0, 4.0, 4.5, 3.0, 2.0, 2.5, 1.0, 0.5]
EXAMPLES = [10, 10, 10, 4, 10, 10, 10, 4]
ENDS = (4, 8)
"""The last steps of the two epochs."""


class Watched:
    """What the callback asks of a trainer and its recorder."""

    def __init__(self) -> None:
        self.recorder, self.points = self, list[tuple[float, float]]()

    def ends_epoch(self, step: int) -> bool:
        return step in ENDS

    def curve(self, name: str, axes: Sequence[str], points: Any) -> None:
        assert (name, axes) == ("loss", ("samples seen", "training loss"))
        self.points += points


def points(
    every: int, looks: Sequence[int], resume: bool = False, weights: Sequence[float] = EXAMPLES
) -> list[tuple[float, float]]:
    """The points of the eight steps above, looked at after each of these steps."""
    callback, watched, first = LossCurve(every), Watched(), 0
    for last in looks:
        if resume:
            state = callback.state_dict()
            callback = LossCurve(every)
            callback.load_state_dict(state)
        log = StepLog(first + 1, {"loss": LOSSES[first:last]}, EXAMPLES[first:last], list(weights[first:last]), 1.0)
        callback.on_log(cast(Trainer, watched), log)
        first = last
    return watched.points


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, list(zip([10, 20, 30, 34, 44, 54, 64, 68], LOSSES, strict=True))),
        (20, [(20, 4.5), (34, (45 + 12) / 14), (54, 2.25), (68, 12 / 14)]),
        (25, [(30, 4.5), (34, 3.0), (64, 55 / 30), (68, 0.5)]),
        (1000, [(34, (135 + 12) / 34), (68, (55 + 2) / 34)]),
    ],
)
def test_a_point_is_the_mean_of_a_stretch_of_samples(every: int, expected: list[tuple[float, float]]) -> None:
    for found, wanted in zip(points(every, ENDS), expected, strict=True):
        assert found == pytest.approx(wanted)


def test_steps_count_by_the_weight_of_their_loss() -> None:
    found = points(20, (3, 8), resume=True, weights=[1, 3, 2, 2, 1, 4, 1, 1])
    assert found == [(20, 17 / 4), (34, 15 / 4), (54, 12 / 5), (68, 1.5 / 2)]


@pytest.mark.parametrize("every", [1, 20, 25, 1000])
def test_neither_looks_nor_a_restart_change_the_curve(every: int) -> None:
    expected = points(every, ENDS)
    assert points(every, range(1, 9)) == expected
    assert points(every, (3, 4, 7, 8)) == expected
    assert points(every, range(1, 9), resume=True) == expected
