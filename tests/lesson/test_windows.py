from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from dlrun.errors import UserError
from dlrun.lesson.localization import Localization, boxes, brightest
from dlrun.lesson.sliding_window import SlidingWindow, in_a_batch, multiply_adds, one_by_one, windows
from dlrun.lesson.windows import BACKGROUND, SIDE, STRIDE, canvases, fully_convolutional, presence, put, window_network


def test_three_ways_give_one_map() -> None:
    torch.manual_seed(0)
    network, canvas = window_network().eval(), torch.rand(1, 40, 54)
    with torch.no_grad():
        whole = fully_convolutional(network)(canvas[None])[0]
        loop, batch = one_by_one(network, canvas), in_a_batch(network, canvas)
        last = network(canvas[None, :, 24:40, 36:52])[0]
    assert whole.shape == loop.shape == (BACKGROUND + 1, 7, 10)
    assert whole.allclose(loop, atol=1e-5)
    assert batch.allclose(loop, atol=1e-5)
    assert whole[:, 6, 9].allclose(last, atol=1e-5)
    assert whole.std() > 1e-3


def test_a_photo_of_a_phone_has_ten_million_windows() -> None:
    assert windows(3000, 4000, 224, 1) == 10_488_729
    assert windows(64, 84, SIDE, STRIDE) == 13 * 18


def test_one_pass_multiplies_less() -> None:
    network, canvas = window_network(), torch.rand(1, SIDE, SIDE + STRIDE)
    assert multiply_adds(network, canvas[:, :, :SIDE], True) == multiply_adds(network, canvas[:, :, :SIDE], False)
    assert multiply_adds(network, canvas, True) == 2 * multiply_adds(network, canvas[:, :, :SIDE], True)
    assert multiply_adds(network, canvas, False) < multiply_adds(network, canvas, True)


def test_a_digit_beyond_the_border_is_cut_off() -> None:
    canvas, digit = torch.zeros(1, SIDE, SIDE), torch.rand(1, SIDE, SIDE)
    put(canvas, digit, -3, 5)
    assert torch.equal(canvas[:, : SIDE - 3, 5:], digit[:, 3:, : SIDE - 5])
    assert float(canvas[:, SIDE - 3 :].sum() + canvas[:, :, :5].sum()) == 0


def test_a_canvas_shows_its_digit_at_its_corner() -> None:
    torch.manual_seed(0)
    images, corners = canvases(3, 40, 50, torch.ones(1, 1, SIDE, SIDE))
    for image, (row, column) in zip(images, corners.tolist(), strict=True):
        assert bool((image[:, row : row + SIDE, column : column + SIDE] == 1).all())


def test_the_brightest_window_and_its_box() -> None:
    maps = torch.zeros(1, 5, 7)
    maps[0, 2, 6] = 1
    corner = brightest(maps)
    assert corner.tolist() == [[2 * STRIDE, 6 * STRIDE]]
    assert boxes(corner).tolist() == [[24, 8, 40, 24]]
    # Half beside the truth: 8 of 24 pixels in common.
    assert float(box_iou(boxes(corner), boxes(corner + torch.tensor([0, SIDE // 2])))) == pytest.approx(1 / 3)


def test_presence_is_what_the_background_leaves() -> None:
    logits = torch.zeros(1, BACKGROUND + 1, 1, 1)
    assert float(presence(logits)) == pytest.approx(10 / 11)


def test_canvases_that_are_too_small_are_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.width=40: expected 48 or more$"):
        SlidingWindow(64, 40, 1)
    with pytest.raises(UserError, match=r"^lesson.side=16: expected 32 or more$"):
        Localization(16, 1, 1)
