"""Fused networks give what the plain ones give; what must not be fused is not."""

from __future__ import annotations

import ctypes

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dlrun.model.fused import FusedConv, fused


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def settled(network: nn.Module) -> nn.Module:
    """With statistics as after a training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def convs(module: nn.Module) -> list[FusedConv]:
    return [part for part in module.modules() if isinstance(part, FusedConv)]


class Odd(nn.Module):
    """Sums, branches and shared layers of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2, stride=2)
        self.pooled = nn.Conv2d(8, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.twice(self.twice(x))
        branch = self.grouped(x)
        x = torch.relu(branch + branch * 2)  # the branch has two users
        x = torch.relu(self.wide(x) + self.pooled(x.mean(dim=(2, 3), keepdim=True)))  # a sum that stretches
        y = self.pooled(x)
        x = torch.relu(torch.add(y, x, alpha=2))
        x = self.relu(self.same(x) + 1)
        y = self.twice(x)
        y += x
        pooled: Tensor = self.relu(y).mean(dim=(2, 3))
        return pooled


@pytest.mark.parametrize("side", [48, 32])  # at 32 the last sums are over one position
@pytest.mark.parametrize("make", [torchvision.models.resnet18, torchvision.models.densenet121, Odd])
def test_a_fused_network_gives_the_same(make: type[nn.Module], side: int) -> None:
    torch.manual_seed(0)
    network, batch = settled(make()), images(2, 3, side, side)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = fused(network)
    assert made is not None
    with torch.inference_mode():
        expected = network(batch)
        torch.testing.assert_close(made(batch), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_fused() -> None:
    network = settled(torchvision.models.resnet18())
    made = fused(network)
    assert made is not None
    module = made.module
    assert len(convs(module)) == 20
    assert not any(isinstance(part, nn.BatchNorm2d | nn.ReLU | nn.Conv2d) for part in module.modules())
    sums = [node for node in module.graph.nodes if node.op == "call_module" and len(node.args) == 2]
    assert len(sums) == 8  # one for each block


def test_only_what_is_below_the_layer_is_fused() -> None:
    network = settled(torchvision.models.resnet18())
    for name, count in {"layer3": 15, "layer1.0.conv2": 2, "layer1.0.bn1": 2, "conv1": 0, "layer1.0.relu": 3}.items():
        made = fused(network, network.get_submodule(name))
        assert made is not None
        ends_in_conv = "conv" in name  # whose own output is asked for, and fused with nothing
        assert len(convs(made.module)) == count + ends_in_conv, name


def test_hooks_parametrisations_and_batch_statistics_are_left_alone() -> None:
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Conv2d(4, 4, 3),
    )
    seen: list[int] = []
    network[3].register_forward_hook(lambda *_: seen.append(1))
    made = fused(network.eval())
    assert made is not None
    with torch.inference_mode():
        torch.testing.assert_close(made(images(2, 3, 12, 12)), network(images(2, 3, 12, 12)), rtol=1e-4, atol=1e-5)
    assert len(convs(made.module)) == 1
    assert len(seen) == 2


def test_a_network_with_branches_on_values_is_not_followed() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    assert fused(Branching()) is None


@pytest.mark.parametrize("side", [16, 32, 64])
@torch.inference_mode()
def test_no_weights_are_put_in_order_more_than_once(capfd: pytest.CaptureFixture[str], side: int) -> None:
    found = fused(settled(torchvision.models.resnet50()))
    assert found is not None
    verbose, moved = torch.backends.mkldnn, []
    for count in (2, 7):
        with verbose.verbose(verbose.VERBOSE_ON):  # type: ignore[no-untyped-call]
            found(images(count, 3, side, side))
        ctypes.CDLL(None).fflush(None)
        done = [line.split(",") for line in capfd.readouterr().out.splitlines() if ",exec,cpu," in line]
        assert sum(words[5] == "convolution" for words in done) == 53
        moved.append([words[-2] for words in done if words[5] == "reorder" and not words[-2].startswith(f"{count}x")])
    assert len(moved[0]) > 40
    assert moved[1] == []
