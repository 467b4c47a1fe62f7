from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from dlrun.errors import UserError
from dlrun.lesson.shared_weights import SharedWeights, counts, dense_matrix, kernel_gradient


@pytest.mark.parametrize(("side", "kernel_size"), [(5, 3), (4, 5), (3, 1)])
def test_the_matrix_is_scipys_correlation(side: int, kernel_size: int) -> None:
    image = torch.randn(side, side, dtype=torch.double)
    kernel = torch.randn(kernel_size, kernel_size, dtype=torch.double)
    theirs = ndimage.correlate(image.numpy(), kernel.numpy(), mode="constant")
    ours = (dense_matrix(kernel, side) @ image.flatten()).view(side, side)
    assert ours.allclose(torch.from_numpy(theirs), atol=1e-12)


def test_the_gradient_of_a_weight_is_the_sum_over_its_places() -> None:
    # Of 4x4 outputs all read their own pixel, 3x4 one that is a row away, 3x3 one that is a row and a column away.
    assert kernel_gradient(torch.ones(16, 16), 3, 4).tolist() == [[9, 12, 9], [12, 16, 12], [9, 12, 9]]


def test_counts_are_those_of_the_documents() -> None:
    found = {name: value for name, (value, _) in counts().items()}
    assert found["dense_weights"] == 256**4 == 4_294_967_296
    assert found["dense_weights_in_colour"] == (256 * 256 * 3) ** 2
    assert found["gigabytes_in_colour"] == pytest.approx(154.6, abs=0.05)
    assert found["inputs"] == 150_528
    assert found["first_convolution"] == 3 * 3 * 3 * 64 + 64 == 1792


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.kernel_size=2: expected an odd number"):
        SharedWeights(8, 2)
    with pytest.raises(UserError, match=r"^lesson.image_size=64: expected 2 to 48"):
        SharedWeights(64, 3)
