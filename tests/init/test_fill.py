from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dlrun import build
from tests.test_configs import composed


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 64, 5), nn.BatchNorm2d(64), nn.Linear(300, 400))


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("xavier", lambda inputs, outputs: math.sqrt(2 / (inputs + outputs))),
        ("he", lambda inputs, outputs: math.sqrt(2 / inputs)),
        ("small", lambda inputs, outputs: 0.01),
        ("large", lambda inputs, outputs: 1.0),
    ],
)
def test_the_deviation_of_each_rule(init: str, std: object) -> None:
    filled = network()
    build.make(composed("train", f"init={init}").init, "init")(filled)
    for name, inputs, outputs in (("0", 8 * 25, 64 * 25), ("2", 300, 400)):
        weight, bias = filled.get_parameter(f"{name}.weight"), filled.get_parameter(f"{name}.bias")
        assert float(weight.detach().std()) == pytest.approx(std(inputs, outputs), rel=0.03)  # type: ignore[operator]
        assert not bias.any()


def test_the_default_leaves_every_layer_as_torch_made_it() -> None:
    filled = network()
    build.make(composed("train").init, "init")(filled)
    assert all(map(torch.equal, filled.state_dict().values(), network().state_dict().values()))


def test_a_constant_is_one_value() -> None:
    filled = network()
    build.make(composed("train", "init=constant", "init.weight.val=0.3").init, "init")(filled)
    assert torch.unique(filled.get_parameter("2.weight")).tolist() == pytest.approx([0.3])
