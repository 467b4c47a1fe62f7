"""``dlrun lesson``, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import Dlrun, only_run, result


def test_a_lesson_is_a_run_that_is_held_to_its_claims(dlrun: Dlrun) -> None:
    ended = dlrun("lesson", "least_squares")
    assert ended.status == 0, ended.err
    run = only_run(Path("runs/lesson/least_squares"))
    assert "│ largest_difference  │ ≤ 1.00e-06 │" in ended.out
    assert "steps" in (run / "log.txt").read_text()
    found = result(run)
    assert found["status"] == "completed"
    assert all(claim["met"] for claim in found["expect"])
    with Image.open(run / "figures/trajectories.png") as picture:
        assert picture.width == 1600
    with (run / "steps.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (float(first["x1 by hand"]), float(first["x2 by hand"]), float(first["f"])) == (-1.0, 3.5, 50.25)
    events = EventAccumulator(str(run))
    events.Reload()
    assert events.Tags()["images"] == ["trajectories"]
    assert "steps/text_summary" in events.Tags()["tensors"]
    assert "largest_difference" in events.Tags()["scalars"]
    unmet = dlrun("lesson", "least_squares", "expect.distance_to_minimum.max=1e-9")
    assert (unmet.status, unmet.errors) == (1, ["dlrun: expect: not met for distance_to_minimum"])


def test_claims_speak_of_the_default_options(dlrun: Dlrun) -> None:
    ended = dlrun("lesson", "least_squares", "lesson.steps=1", "logger=null")
    assert ended.status == 0, ended.err
    assert "claims: not checked, since they speak of the default options" in ended.out
    assert "distance_to_minimum" in ended.out
    assert result(only_run(Path("runs")))["expect"] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("least_squares", "lesson.steps=0"), "lesson.steps=0: expected greater than 0"),
        (("least_squares", "lesson.steps=many"), "lesson.steps='many': expected a valid integer"),
        (("least_squares", "lesson.stepps=3"), "lesson.stepps=3: no such key; did you mean 'steps'?"),
        (("confidence", "lesson.scales=[]"), "lesson.scales=[]: List should have at least 1 item"),
        (("confidence", "lesson.scales=[1,-1]"), "lesson.scales.1=-1: expected greater than 0"),
        (("least_square",), "least_square: not understood; did you mean lesson=least_squares?"),
        (("convolution", "lesson.kernel=[1,nan]"), "lesson.kernel.1=NaN: expected a finite number"),
        (("convolution", "lesson.noise=inf"), "lesson.noise=Infinity: expected a finite number"),
        (("seed=1",), "lesson: none chosen; expected lesson=NAME from the groups"),
        (("least_squares", "expect.nothing.min=1"), "expect.nothing=nothing: no such metric; choose from"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(dlrun: Dlrun, words: tuple[str, ...], complaint: str) -> None:
    ended = dlrun("lesson", *words)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith(f"dlrun: {complaint}"), ended.err
    assert not list(Path("runs").rglob("config.yaml"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("least_squares", "lesson.lr=100"),
            "lesson.lr=100: the lesson cannot be calculated so (cannot convert float inf",
        ),
        (
            ("back_propagation", "lesson.inputs=[0]"),
            "lesson.inputs=[0]: the lesson cannot be calculated so (mse_loss_ratio would be NaN or infinite);",
        ),
    ],
)
def test_an_option_that_a_lesson_cannot_be_calculated_with_is_named(
    dlrun: Dlrun, words: tuple[str, ...], complaint: str
) -> None:
    ended = dlrun("lesson", *words)
    assert (ended.status, len(ended.errors)) == (2, 1)
    assert ended.errors[0].startswith(f"dlrun: {complaint}")
