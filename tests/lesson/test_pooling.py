from __future__ import annotations

import numpy as np
import pytest
import torch

from dlrun.errors import UserError
from dlrun.lesson.pooling import ENTRY, Pooling, blocks


def test_blocks_drop_what_is_left_over() -> None:
    assert blocks(torch.arange(7.0), 3).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_documents_example_is_what_scikit_image_finds() -> None:
    measure = pytest.importorskip("skimage.measure")
    assert measure.block_reduce(np.array(ENTRY), (2, 2), np.max).tolist() == [[5, 4], [4, 6]]
    found = Pooling([1, 2, 3], 1, "china")().metrics
    assert [found[f"document/{place}"] for place in ("00", "01", "10", "11")] == [5, 4, 4, 6]


def test_blocks_larger_than_the_signal_are_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.size=4: expected 1 to 3, the numbers of the signal$"):
        Pooling([1, 2, 3], 4, "china")
