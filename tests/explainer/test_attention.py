"""Attention of a vision transformer as a map: weights against their formula, rollout against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.explainer.attention import Attention, attentions
from dlrun.model.vit import VisionTransformer


def network() -> VisionTransformer:
    torch.manual_seed(0)
    made = VisionTransformer(1, 12, 3, patch=4, width=8, depth=3, heads=2, hidden=12).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def weights(layer: nn.TransformerEncoderLayer, tokens: Tensor) -> Tensor:
    """softmax(QK^T / sqrt(d)), the mean over two heads."""
    attention = layer.self_attn
    queries, keys, _ = F.linear(layer.norm1(tokens), attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=2)
    heads = [queries[..., at] @ keys[..., at].transpose(1, 2) / math.sqrt(4) for at in (slice(0, 4), slice(4, 8))]
    return torch.stack([head.softmax(dim=2) for head in heads]).mean(dim=0)


def test_weights_and_maps_are_those_of_the_formula() -> None:
    model, images = network(), torch.rand(4, 1, 12, 12)
    patches = model.patches(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([model.class_token.expand(4, -1, -1), patches], dim=1) + model.positions
    expected = []
    for layer in model.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        expected.append(weights(layer, tokens))
        tokens = layer(tokens)
    found = attentions(model, images)
    assert len(found) == 3
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
    classes = torch.tensor([[0, 2]] * 4)
    last = Attention(rollout=False).maps(model, images, classes)
    assert last.shape == (4, 2, 3, 3)
    torch.testing.assert_close(last[:, 1].flatten(1), expected[-1][:, 0, 1:], rtol=1e-5, atol=1e-6)
    eye = torch.eye(10)
    for number in range(4):
        product = eye
        for each in expected:
            product = (each[number] + eye) / 2 @ product
        rolled = Attention().maps(model, images, classes)[number, 0]
        torch.testing.assert_close(rolled.flatten(), product[0, 1:], rtol=1e-5, atol=1e-6)


def test_a_network_without_attention_is_refused() -> None:
    with pytest.raises(UserError, match="Linear has no attention; expected a transformer, model=vit"):
        Attention().maps(nn.Linear(2, 2), torch.rand(1, 2), torch.tensor([[0]]))
