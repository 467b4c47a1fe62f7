from __future__ import annotations

import sys

import pytest
import torch

from dlrun.errors import UserError
from dlrun.lesson.descriptors import CANVAS, Descriptors, canvas, flat, linear


def test_digits_lie_in_the_middle_or_beside_it() -> None:
    middle = canvas(torch.ones(1, 1, 8, 8), 16)
    assert middle.shape == (1, 1, CANVAS, CANVAS)
    assert float(middle.sum()) == pytest.approx(16 * 16)
    assert float(middle[..., 6:22, 6:22].sum()) == pytest.approx(16 * 16)
    assert torch.equal(canvas(torch.ones(1, 1, 8, 8), 16, shift=4), middle.roll((4, 4), dims=(2, 3)))


def test_a_linear_classifier_separates_what_pixels_separate() -> None:
    images = torch.zeros(40, 1, 4, 4)
    images[20:, :, :, 2:] = 1
    classes = torch.arange(40) // 20
    answer = linear(flat, images, classes)
    assert answer(images).tolist() == classes.tolist()
    assert answer(torch.zeros(1, 1, 4, 4)).tolist() == [0]


def test_without_scikit_image_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(UserError, match=r"^lesson=descriptors: needs scikit-image; pip install 'dlrun\[lesson\]'$"):
        Descriptors(11, 22, 5, 1)


def test_digits_that_leave_the_canvas_are_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.shift=9: expected 0 to 6 pixels$"):
        Descriptors(11, 22, 9, 1)
    with pytest.raises(UserError, match=r"^lesson.larger=40: expected 4 to 28 pixels$"):
        Descriptors(11, 40, 2, 1)
