"""The seam for speed: the fast way is taken, gives what the plain one gives, and is left alone where it does not suit.

A new version of torch that breaks the fast way shows here: everything else would still pass, and be slow.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import dlrun
from dlrun.explainer.grad_cam import GradCAM
from dlrun.model.cnn import CNN
from dlrun.model.frozen import frozen
from dlrun.model.inference import fast, fast_copy, inference, input_gradients
from dlrun.model.lenet import LeNet
from dlrun.model.normalized import Normalized
from tests.model.test_fused import images, settled

SEAM = ("inference.py", "fused.py", "input_gradient.py")


def resnet() -> nn.Module:
    torch.manual_seed(0)
    return settled(torchvision.models.resnet18(num_classes=5))


def count(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> list[int]:
    """The sizes of the batches on which the plain model runs from now on."""
    seen: list[int] = []
    plain = type(model).forward

    def counted(self: nn.Module, x: Tensor) -> Any:
        if isinstance(x, Tensor):  # not when torch.fx follows it
            seen.append(len(x))
        return plain(self, x)

    monkeypatch.setattr(type(model), "forward", counted)
    return seen


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: torchvision.models.resnet18(num_classes=5), 48),
        (lambda: torchvision.models.mobilenet_v2(num_classes=5), 64),
        (lambda: torchvision.models.squeezenet1_1(num_classes=5), 64),
        (lambda: LeNet(3, 28, 5), 28),
        (lambda: CNN(3, 16, 5, widths=[8, 16]), 16),
    ],
)
def test_the_fast_way_is_taken_and_equals_the_plain_one(
    make: Callable[[], nn.Module], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, batch = Normalized(settled(make()), [0.5] * 3, [0.2] * 3).eval(), images(4, 3, size, size)
    with torch.inference_mode():
        expected = model(batch)
        seen = count(monkeypatch, model)
        with inference(model):
            for _ in range(2):
                assert_close(model(batch), expected)
        assert seen == [1]  # one image, once, to compare
        assert torch.equal(model(batch), expected)
        assert seen == [1, 4]
    assert "forward" not in vars(model)


def test_the_gradient_of_images_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from dlrun.model.input_gradient import FewChannels

    taken: list[int] = []
    apply = FewChannels.apply

    def counted(*args: Any) -> Any:
        taken.append(1)
        return apply(*args)

    monkeypatch.setattr(FewChannels, "apply", counted)
    torch.manual_seed(0)
    model, batch = LeNet(1, 28, 10).eval(), images(4, 1, 28, 28).requires_grad_()
    (expected,) = torch.autograd.grad(model(batch).logsumexp(1).sum(), batch)
    with input_gradients(model):
        weights = torch.autograd.grad(model(batch).sum(), list(model.parameters()))
        assert not taken  # weights ask for gradients, which it does not give
        with frozen(model):
            (found,) = torch.autograd.grad(model(batch).logsumexp(1).sum(), batch)
    assert len(taken) == 1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert all(bool(weight.any()) for weight in weights)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_for_inference(dtype: torch.dtype) -> None:
    network, batch = resnet(), images(2, 3, 48, 48)
    with torch.inference_mode():
        expected = network(batch)
        made = fast_copy(copy.deepcopy(network), dtype)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
        slack = 1e-4 if dtype == torch.float32 else 0.05
        found = made(batch.to(dtype)).float()
        torch.testing.assert_close(found, expected, rtol=slack, atol=slack * float(expected.abs().max()))


def test_maps_of_a_layer_take_the_fast_way_and_follow_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = resnet(), images(2, 3, 64, 64)
    classes = torch.tensor([[1], [2]])
    explainer = GradCAM(layer="layer3")
    layer = network.get_submodule("layer3")
    with layer.register_forward_hook(lambda *_: None):  # with a hook of somebody else's the plain model runs
        expected = explainer.maps(network, batch, classes)
    seen = count(monkeypatch, network)
    first = explainer.maps(network, batch, classes)
    assert seen == [1]
    assert_close(first, expected)
    with torch.no_grad():
        kept = fast(network, batch, layer)
    torch.testing.assert_close(explainer.maps(network, batch, classes), first)
    with torch.no_grad():
        assert kept is not None
        assert fast(network, batch, layer) is kept
        network.conv1.weight.mul_(-1)  # type: ignore[operator, union-attr]
    changed = explainer.maps(network, batch, classes)
    assert not torch.allclose(changed, first)
    fresh = torchvision.models.resnet18(num_classes=5).eval()
    fresh.load_state_dict(network.state_dict())
    torch.testing.assert_close(explainer.maps(fresh, batch, classes), changed)


class Noisy(nn.Module):
    """Draws numbers in a shape of its own, which a graph would keep."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x).relu().mean(dim=(2, 3))
        return features + torch.randn(1, 4)


class Branching(nn.Module):
    """Does what depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        return x.mean(dim=(2, 3)) if x.mean() > 0.1 else x.amax(dim=(2, 3))


class Viewing(nn.Module):
    """Takes features for contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x).relu()
        return features.view(len(x) if isinstance(x, Tensor) else x.shape[0], -1)


def test_the_plain_model_runs_where_the_fast_way_does_not_suit(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = images(3, 3, 32, 32)

    def check(model: nn.Module, pixels: Tensor = batch, prepare: Callable[[], Any] = torch.no_grad) -> None:
        with monkeypatch.context() as patch, prepare():
            torch.manual_seed(1)
            expected = model(pixels)
            seen = count(patch, model)
            with inference(model):
                model(pixels)
                torch.manual_seed(1)
                found = model(pixels)
            assert seen[-2:] == [3, 3]
            torch.testing.assert_close(found, expected)

    for network in (Noisy(), Branching(), Viewing()):
        check(network.eval())
    check(resnet(), prepare=torch.enable_grad)
    check(resnet(), prepare=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    check(resnet().double(), batch.double())
    hooked = resnet()
    hooked.layer2.register_forward_hook(lambda _, __, output: output + 1)  # type: ignore[union-attr]
    check(hooked)
    patched = resnet()
    patched.forward = lambda x: torchvision.models.ResNet.forward(patched, x) + 1
    check(patched)
    check(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).eval())
    with torch.inference_mode():
        made_inside = resnet()
        check(made_inside, prepare=torch.inference_mode)


def test_training_mode_and_its_statistics_are_those_of_the_plain_model() -> None:
    model, batch = resnet().train(), images(3, 3, 32, 32)
    other = copy.deepcopy(model)
    with torch.no_grad(), inference(model):
        assert torch.equal(model(batch), other(batch))
        assert torch.equal(model.bn1.running_mean, other.bn1.running_mean)  # type: ignore[arg-type, union-attr]
        model.eval()
        other.eval()
        assert_close(model(batch), other(batch))


def test_a_compiled_model_stays_compiled() -> None:
    model, batch = resnet(), images(3, 3, 32, 32)
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad():
        expected = compiled(batch)
        with inference(compiled), torch.compiler.set_stance("fail_on_recompile"):
            assert torch.equal(compiled(batch), expected)


def test_a_copy_made_inside_has_weights_of_its_own() -> None:
    model, batch = resnet(), images(2, 3, 32, 32)
    with torch.no_grad(), inference(model):
        before = model(batch)
        other = copy.deepcopy(model)
        other.fc.weight.zero_()  # type: ignore[operator, union-attr]
        other.fc.bias.zero_()  # type: ignore[operator, union-attr]
        assert not other(batch).any()
        torch.testing.assert_close(model(batch), before)


def test_an_empty_batch_and_another_size_of_image() -> None:
    model = resnet()
    with torch.no_grad():
        expected = [model(images(*size)) for size in ((2, 3, 48, 48), (1, 3, 56, 32))]
        with inference(model):
            assert_close(model(images(2, 3, 48, 48)), expected[0])
            assert_close(model(images(1, 3, 56, 32)), expected[1])
            assert model(torch.empty(0, 3, 48, 48)).shape == (0, 5)


def test_nobody_else_knows_how_it_is_fast() -> None:
    package = Path(dlrun.__file__).parent
    known = re.compile(r"dlrun\.model(\.| import )(fused|input_gradient)|torch\.fx|import fx|mkldnn")
    found = {path.name for path in package.rglob("*.py") if known.search(path.read_text())}
    assert found <= {*SEAM, "layer_table.py", "tracer.py"}  # which follow networks for another reason
