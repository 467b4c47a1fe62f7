from __future__ import annotations

import pytest
import torch
from torch import nn

from dlrun.errors import UserError
from dlrun.lesson.connections import Connections, feeds, outputs


def test_what_feeds_what() -> None:
    # kernel 3, stride 2, padding 1, dilation 2: output j reads 2j - 1, 2j + 1, 2j + 3, where there is such an input
    found = [row.nonzero().flatten().tolist() for row in feeds(8, 3, 2, 1, 2)]
    assert found == [[1, 3], [1, 3, 5], [3, 5, 7]]


@pytest.mark.parametrize("options", [(9, 3, 1, 0, 1), (10, 4, 3, 2, 2), (7, 1, 2, 5, 3), (5, 5, 1, 0, 1)])
def test_sizes_are_torchs(options: tuple[int, int, int, int, int]) -> None:
    size, kernel, stride, padding, dilation = options
    layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
    assert outputs(*options) == layer(torch.zeros(1, 1, size)).shape[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stride": 0},
            "lesson.stride=0: expected 1 or more; 003_7190ac02314fafbe.txt prints a stride of 0 and means 1",
        ),
        ({"padding": -1}, "lesson.padding=-1: expected 0 or more"),
        ({"kernel": 9, "dilation": 2}, "lesson.kernel=9: spans 17 inputs; expected at most 14"),
    ],
)
def test_layers_that_cannot_be_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError) as refused:
        Connections(**{"size": 12, "kernel": 3, "stride": 1, "padding": 1, "dilation": 1, **options})
    assert str(refused.value) == message
