from __future__ import annotations

import pytest
import torch

from dlrun.errors import UserError
from dlrun.lesson.learned_filter import CROPS, SIDE, LearnedFilter, crops
from dlrun.lesson.photos import grey


def test_crops_have_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    found = crops(grey("china"))
    assert found.shape == (CROPS, 1, SIDE, SIDE)
    assert float(found.mean()) == pytest.approx(0, abs=1e-4)
    assert float(found.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["horizontal edges", "edges in all directions"])
def test_other_filters_are_found_too(name: str) -> None:
    torch.manual_seed(0)
    assert LearnedFilter(name, 120, 0.1, 0.9)().metrics["distance"] < 0.02


def test_a_filter_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^lesson.filter=vertical: no such filter of 3x3; did you mean 'vertical edges'\?"
    ):
        LearnedFilter("vertical", 1, 0.1, 0.9)
