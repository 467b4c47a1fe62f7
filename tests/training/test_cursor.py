"""Where a run stands: when it goes on, what it remembers as the best, what an earlier version saved."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Any

import pytest
import torch
from torch import nn

from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.training.cursor import Cursor, Goal, Next
from dlrun.training.pending import Pending
from dlrun.training.phase import Extent, Plan
from dlrun.training.state import Stateful, restore


@pytest.mark.parametrize(
    ("done", "goal", "more"),
    [
        ({"epoch": 1}, Goal(2), True),
        ({"epoch": 2}, Goal(2), False),
        ({"epoch": 9, "step": 4}, Goal(1, steps=5), True),  # steps override epochs
        ({"epoch": 0, "step": 5}, Goal(9, steps=5), False),
        ({"epoch": 0, "step": 6}, Goal(9, steps=5), False),
        ({"epoch": 3, "planned": 5, "phase_epoch": 2}, Goal(7), True),  # a phase of 5 that left 3 out, and 1 more
        ({"epoch": 4, "planned": 5, "phase_epoch": 2}, Goal(7), False),
        ({"epoch": 1, "stopped": "a callback"}, Goal(9, patience=None), False),
        ({"epoch": 1, "stopped": "patience", "since_best": 3}, Goal(9, patience=3), False),
        ({"epoch": 1, "stopped": "patience", "since_best": 3}, Goal(9, patience=4), True),
        ({"epoch": 1, "stopped": "patience", "since_best": 3}, Goal(9), True),
        ({"epoch": 9, "stopped": "patience", "since_best": 3}, Goal(9, patience=4), False),
    ],
)
def test_a_run_goes_on_where_its_goal_asks_for_more(done: dict[str, Any], goal: Goal, more: bool) -> None:
    assert Cursor(**done).goes_on(goal) is more
    place: Next
    for place in ("test", "follow", "done"):
        cursor = Cursor(**done, next=place)
        assert cursor.is_done(goal) is (place == "done" and not more)
        cursor.reopen(goal)
        assert (cursor.next, cursor.stopped) == (("step", None) if more else (place, done.get("stopped")))
    for place in ("step", "validate", "epoch_end"):  # within an epoch, which is never left out
        cursor = Cursor(**done, next=place)
        cursor.reopen(goal)
        assert (cursor.next, cursor.is_done(goal)) == (place, False)


def test_the_extent_of_a_phase_is_what_the_goal_leaves_and_its_rates_follow_the_plan() -> None:
    def extent(epochs: int | None, goal: Goal, **done: int) -> tuple[int, ...]:
        return astuple(Extent.of(Plan(lambda: None, epochs), goal, Cursor(**done), per_epoch=5))  # type: ignore[arg-type, return-value]

    assert extent(None, Goal(4)) == (5, 4, 4, 20, 0)
    assert extent(3, Goal(4)) == (5, 3, 3, 15, 0)
    assert extent(6, Goal(4)) == (5, 4, 4, 20, 0)
    # The phase before had been planned for 3 epochs and ended after 2, by its patience:
    late = {"planned": 3, "phase_epoch": 2, "phase_step": 10, "epoch": 2, "step": 10}
    assert extent(None, Goal(9), **late) == (5, 6, 8, 40, 5)
    assert extent(2, Goal(9), **late) == (5, 2, 4, 20, 5)
    assert extent(None, Goal(9, steps=7)) == (5, 2, 2, 7, 0)


def test_a_warm_up_may_take_the_whole_run_and_no_longer() -> None:
    extent = Extent(steps_per_epoch=5, epochs=4, last_epoch=4, last_step=20, ahead=0)
    extent.check_warmup(20)
    message = r"^scheduler\.warmup_steps=21: the run has 20 steps; expected at most as many$"
    with pytest.raises(UserError, match=message):
        extent.check_warmup(21)


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_is_the_first_of_equals_and_always_finite(higher: bool) -> None:
    cursor, sign = Cursor(), 1.0 if higher else -1.0
    values = [math.nan, 1.0, 1.0, math.inf * sign, 2.0, 1.5]
    found = []
    for epoch, value in enumerate(values, 1):
        cursor.epoch = epoch
        found.append(cursor.judge({"val/x": value if math.isnan(value) else sign * value}, "val/x", higher))
    assert found == [False, True, False, False, True, False]
    assert (cursor.best, cursor.best_epoch, cursor.since_best) == (sign * 2.0, 5, 1)
    assert cursor.best_metrics == {"val/x": sign * 2.0}
    assert cursor.judge({"other": 0.0}, "val/x", higher)  # nothing to judge by: the newest


def test_a_checkpoint_of_a_version_without_weights_counts_examples() -> None:
    old = {
        name: value for name, value in Cursor(examples=12, sums={"loss": 6.0}).state_dict().items() if name != "weight"
    }
    cursor = Cursor()
    cursor.load_state_dict(old)
    assert (cursor.weight, cursor.means(["loss"])) == (12, {"loss": 0.5})
    cursor.sums["loss"] = 0.0
    assert old["sums"] == {"loss": 6.0}  # its own copy
    pending = Pending()
    pending.load_state_dict({"values": {"loss": [1.0, 2.0]}, "examples": [4, 3]})
    assert pending.take() == ({"loss": [1.0, 2.0]}, [4, 3], [4.0, 3.0])
    pending.load_state_dict({"values": {"loss": [1.0]}, "examples": [4], "weights": [0.5]})
    assert pending.take() == ({"loss": [1.0]}, [4], [0.5])


def test_what_nobody_has_looked_at_yet_goes_on() -> None:
    first, second = Pending(), Pending()
    first.add({"loss": torch.tensor(0.5), "accuracy": torch.tensor(0.25)}, 4, torch.tensor(2.5))
    first.add({"loss": torch.tensor(1.5), "accuracy": torch.tensor(0.75)}, 3, 1.5)
    second.load_state_dict(first.state_dict())
    assert len(first) == len(second) == 2
    for pending in (first, second):
        pending.add({"loss": torch.tensor(2.0), "accuracy": torch.tensor(1.0)}, 2, 1.0)
        values = {"loss": [0.5, 1.5, 2.0], "accuracy": [0.25, 0.75, 1.0]}
        assert pending.take() == (values, [4, 3, 2], [2.5, 1.5, 1.0])
        assert (len(pending), pending.take()) == (0, ({}, [], []))


def test_a_checkpoint_that_lacks_parts_or_fits_another_network_changes_nothing() -> None:
    model, cursor = Normalized(nn.Linear(2, 2), [0.5], [0.5]), Cursor(step=3)
    parts: dict[str, Stateful] = {"cursor": cursor, "step": Pending(), "average": Pending()}
    fitting = model.network.state_dict()
    state: dict[str, Any] = {"cursor": Cursor(step=8).state_dict(), "model": fitting, "callbacks": {}}
    with pytest.raises(UserError, match=r"^checkpoint: holds no average, step; expected the last\.pt of this run$"):
        restore(state, parts, {}, model)
    state |= {"step": Pending().state_dict(), "average": Pending().state_dict()}
    with pytest.raises(UserError, match=r"checkpoint: .*3x2"):
        restore({**state, "model": {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}}, parts, {}, model)
    assert cursor.step == 3
    restore(state, parts, {}, model)
    assert cursor.step == 8
