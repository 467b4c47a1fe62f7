from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dlrun.errors import UserError
from dlrun.lesson.filters import EDGES, KERNELS, Filters, apply
from dlrun.lesson.photos import grey, photo


def picture() -> Tensor:
    return grey("flower")[100:160, 200:280].double()


@pytest.mark.parametrize(
    ("name", "library", "factor"), [("vertical edges", "sobel_v", 4), ("horizontal edges", "sobel_h", 4)]
)
def test_sobel_is_scikit_images(name: str, library: str, factor: float) -> None:
    filters = pytest.importorskip("skimage.filters")
    image = picture()
    theirs = getattr(filters, library)(image.numpy())[1:-1, 1:-1] * factor  # which divides by the sum of the weights
    np.testing.assert_allclose(apply(image, KERNELS[name].double()).abs().numpy(), np.abs(theirs), atol=1e-12)


def test_edges_in_all_directions_are_scikit_images_laplacian() -> None:
    filters = pytest.importorskip("skimage.filters")
    image = picture()
    eight = apply(image, KERNELS["edges in all directions"].double())
    four = filters.laplace(image.numpy())[1:-1, 1:-1]
    corners = 4 * image[1:-1, 1:-1] - image[:-2, :-2] - image[:-2, 2:] - image[2:, :-2] - image[2:, 2:]
    np.testing.assert_allclose(eight, torch.from_numpy(four) + corners, atol=1e-12)


def test_a_blur_keeps_the_mean_and_an_edge_filter_takes_it_away() -> None:
    flat = torch.full((32, 32), 0.5)
    for name, kernel in KERNELS.items():
        assert apply(flat, kernel).allclose(torch.tensor(0.0 if name in EDGES else 0.5), atol=1e-5)


def test_photos() -> None:
    assert photo("china").shape == (3, 427, 640)
    assert 0 <= float(photo("china").min()) < float(photo("china").max()) <= 1
    with pytest.raises(UserError, match=r"^lesson.photo=flowr: no such photo; did you mean 'flower'\?"):
        Filters(["flowr"])
