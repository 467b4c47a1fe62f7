"""The residual networks for small images, and the plain ones beside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlrun.model.cifar_resnet import CifarResNet
from dlrun.model.layer_table import layers as layers_of

MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
"""Parameters by depth, He et al. 2015, table 6."""


@pytest.mark.parametrize("depth", MILLIONS)
def test_the_counts_are_those_of_the_paper_with_and_without_shortcuts(depth: int) -> None:
    networks = [CifarResNet(3, 32, 10, depth, residual=residual) for residual in (True, False)]
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert counts[0] == counts[1]
    assert counts[0] / 1e6 == pytest.approx(MILLIONS[depth], abs=0.03 if depth == 110 else 0.005)
    weighted = [layer for layer in networks[0].modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


def test_its_multiply_adds_are_those_of_its_convolutions() -> None:
    stages = sum((a * b + b * b) * 9 * side**2 for a, b, side in ((4, 4, 32), (4, 8, 16), (8, 16, 8)))
    found = layers_of(CifarResNet(3, 32, 10, 8, width=4), torch.zeros(1, 3, 32, 32))
    assert sum(layer.multiply_adds for layer in found) == 27 * 4 * 32**2 + stages + 16 * 10


@pytest.mark.parametrize("residual", [True, False])
def test_it_matches_a_plain_forward_pass(residual: bool) -> None:
    torch.manual_seed(0)
    network = CifarResNet(3, 8, 5, 8, width=4, residual=residual)
    images = torch.rand(6, 3, 8, 8)
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]

    def after(features: torch.Tensor, number: int, stride: int = 1) -> torch.Tensor:
        return F.batch_norm(F.conv2d(features, weights[number], None, stride, 1), None, None, training=True)

    x = F.relu(after(images, 0))
    for block, stride in enumerate((1, 2, 2)):
        made = after(F.relu(after(x, 2 * block + 1, stride)), 2 * block + 2)
        if residual and stride == 2:
            rows = x[:, :, ::2, ::2]
            made = made + torch.cat([rows, torch.zeros_like(rows)], dim=1)
        elif residual:
            made = made + x
        x = F.relu(made)
    torch.testing.assert_close(network(images), network.get_submodule("fc")(x.mean((2, 3))))


@pytest.mark.parametrize(
    ("depth", "size", "complaint"),
    [(18, 8, r"^model.depth=18: expected 6n\+2 layers"), (2, 8, "^model.depth=2: "), (8, 3, "images of 4x4 or more")],
)
def test_other_depths_and_tiny_images_are_refused(depth: int, size: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CifarResNet(3, size, 10, depth)
