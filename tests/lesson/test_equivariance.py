from __future__ import annotations

import pytest
import torch
from torch import nn

from dlrun.errors import UserError
from dlrun.lesson.equivariance import (
    MARGIN,
    SHIFTS,
    Equivariance,
    distances,
    equivariance_error,
    networks,
    placed,
    shifted,
)


def test_a_shift_moves_to_the_right() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 2, 1] = 1
    assert shifted(image, 2)[0, 0, 2].tolist() == [0, 0, 0, 1]


def test_only_the_pooled_network_is_invariant_and_its_convolutions_are_equivariant() -> None:
    torch.manual_seed(0)
    nets, images = networks(), placed(torch.rand(6, 1, 8, 8))
    assert images.shape[2] == 8 + 2 * MARGIN
    with torch.no_grad():
        moved = {name: distances(net, images, shifted, SHIFTS)[-1] for name, net in nets.items()}
    assert moved["pooled"] < 1e-5
    assert moved["dense"] > 0.3
    assert moved["convolutional"] > 0.3
    assert equivariance_error(nets["convolutional"][:6], images, SHIFTS[-1]) < 1e-6
    strided = nn.Conv2d(1, 1, 3, padding=1)
    strided.weight.data[..., 0] += torch.rand(3)
    position = nn.Sequential(strided, nn.Flatten(), nn.Linear(24 * 24, 24 * 24), nn.Unflatten(1, (1, 24, 24)))
    assert equivariance_error(position, images, 2) > 0.01  # a dense layer is not


def test_no_epoch_is_refused() -> None:
    with pytest.raises(UserError, match=r"^lesson.epochs=0: expected 1 or more$"):
        Equivariance(0)
