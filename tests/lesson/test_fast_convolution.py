from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.lesson.fast_convolution import WAYS, FastConvolution, im2col_gradients, multiplications


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(6, 9), (7, 8)])
def test_a_way_gives_torchs_numbers(way: str, size: tuple[int, int]) -> None:
    image, weight = torch.randn(2, 3, *size, dtype=torch.double), torch.randn(5, 3, 3, 3, dtype=torch.double)
    assert WAYS[way](image, weight).allclose(F.conv2d(image, weight), atol=1e-10)


@pytest.mark.parametrize("way", ["im2col", "Fourier"])
def test_kernels_of_any_shape(way: str) -> None:
    image, weight = torch.randn(1, 2, 8, 7, dtype=torch.double), torch.randn(3, 2, 2, 5, dtype=torch.double)
    assert WAYS[way](image, weight).allclose(F.conv2d(image, weight), atol=1e-10)


def test_gradients_by_hand_are_autograds() -> None:
    image = torch.randn(2, 3, 6, 7, dtype=torch.double, requires_grad=True)
    weight = torch.randn(4, 3, 3, 2, dtype=torch.double, requires_grad=True)
    output = F.conv2d(image, weight)
    ahead = torch.randn_like(output)
    theirs = torch.autograd.grad(output, [image, weight], ahead)
    for ours, other in zip(im2col_gradients(image.detach(), weight.detach(), ahead), theirs, strict=True):
        assert ours.allclose(other, atol=1e-10)


def test_multiplications_are_those_of_a_plain_loop() -> None:
    products = 0
    for _ in range(6 * 6):  # places of a 3x3 kernel on 8x8 pixels
        products += 2 * 2 * 3 * 3
    counted = multiplications(8, 3, 2)
    assert counted["im2col"] == products
    assert counted["Winograd"] * 36 == products * 16
    assert counted["Fourier"] == multiplications(8, 5, 2)["Fourier"]


@pytest.mark.parametrize(("options", "key"), [({"kernels": [3, 80]}, "kernels"), ({"image_size": 3}, "image_size")])
def test_what_does_not_fit_is_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"^lesson.{key}="):
        FastConvolution(**{"image_size": 64, "channels": 1, "kernels": [3], **options})
