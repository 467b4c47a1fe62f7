"""Every lesson of configs/lesson: its header is complete, its claims hold, its pictures fit a slide, it is quick."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dlrun import build
from dlrun.config import compose, described
from dlrun.experiment import claims, header
from tests.figure.test_figures import faults

MOST = 30.0
"""Seconds of the processor that a lesson may take."""


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it is saved, (H, W, 3)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("name", header.names("lesson"))
def test_a_lesson_says_what_it_is(name: str) -> None:
    found = header.read(name, "lesson")
    assert found.title.endswith(".")
    assert set(found.header) == set(header.OF_LESSONS)
    assert all(
        re.fullmatch(r"00\d_[0-9a-f]{16}\.txt", part.split(",")[0]) for part in found.header["Source"].split("; ")
    )
    options = described.of_choice(header.folder("lesson") / f"{name}.yaml")
    explained = {key.name for key in options.values() if key.comment}  # by itself, or by the section that it is in
    assert [name for name in options if not {name, name.rpartition(".")[0]} & explained] == ["_target_"]


@pytest.mark.embedded
@pytest.mark.parametrize("name", header.names("lesson"))
def test_a_lesson_meets_its_claims_and_its_pictures_fit_a_slide(name: str) -> None:
    config, _ = compose.compose("lesson", [f"lesson={name}"])
    started = time.process_time()
    found = build.lesson(config)()
    assert time.process_time() - started < MOST
    claims.check_names(config.expect, found.metrics)
    judged = claims.judge(config.expect, {"metrics": found.metrics})
    assert judged
    assert [row for row in judged if not row["met"]] == []
    named = re.findall(r"figures/(\w+)\.png", header.read(name, "lesson").header["Look at"])
    assert named
    assert {*named} <= found.figures.keys()
    for figure in found.figures.values():
        assert set(faults(figure)) <= {"an axis without a label"}  # where the title of the axes says what they show
        assert (pixels(figure) != 255).mean() > 0.01
    for rows in found.tables.values():
        assert len({tuple(row) for row in rows}) == 1
