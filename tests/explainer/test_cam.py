"""Class activation maps against captum, against plain loops, and in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.errors import UserError
from dlrun.explainer.cam import CAM
from dlrun.explainer.eigen_cam import EigenCAM
from dlrun.explainer.grad_cam import GradCAM
from dlrun.explainer.grad_cam_plus_plus import GradCAMPlusPlus
from dlrun.explainer.layer import cut, feature_maps, find
from dlrun.explainer.layer_cam import LayerCAM
from dlrun.explainer.score_cam import ScoreCAM
from dlrun.model.lenet import LeNet
from dlrun.model.mnist_cnn import MnistCNN
from dlrun.model.normalized import Normalized

CAMS: list[type[CAM]] = [GradCAM, GradCAMPlusPlus, LayerCAM, EigenCAM, ScoreCAM]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def lenet() -> LeNet:
    return LeNet(channels=1, image_size=28, num_classes=10)


def thin_head(make: Callable[..., nn.Module]) -> nn.Module:
    """A VGG without its head of 120 million weights, which would take seconds to draw."""
    with torch.device("meta"):
        model = make(num_classes=10)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(inplace=True), nn.Linear(32, 10))
    model.features.to_empty(device="cpu")  # type: ignore[union-attr]
    for module in model.features.modules():  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return model


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def num_hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize(
    ("make", "size", "most"),
    [
        (lenet, (2, 1, 28, 28), None),
        (lambda: MnistCNN(channels=1, image_size=28, num_classes=10), (2, 1, 28, 28), None),
        (lambda: torchvision.models.resnet50(num_classes=10), (1, 3, 64, 64), 7),
        (lambda: thin_head(torchvision.models.vgg16), (1, 3, 64, 64), 7),
    ],
    ids=["lenet", "mnist_cnn", "resnet50", "vgg16"],
)
def test_grad_cam_is_captums(make: Callable[[], nn.Module], size: tuple[int, ...], most: int | None) -> None:
    model, batch = seeded(make), images(*size)
    classes = torch.tensor([[3, 7]]).expand(size[0], -1)
    found = list(feature_maps(model, batch))
    for layer in found if most is None else found[:: len(found) // most]:
        maps = GradCAM(layer=layer).maps(model, batch, classes)
        for column in range(2):
            peer = LayerGradCam(model, model.get_submodule(layer))
            expected = peer.attribute(batch, target=classes[:, column], relu_attributions=True)[:, 0].detach()
            bound = 1e-4 * max(1.0, float(expected.max()))
            torch.testing.assert_close(maps[:, column], expected, rtol=1e-4, atol=bound)


def reference(model: nn.Module, layer: str, image: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Features and gradient of one image, by ordinary means."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *parts: kept.append(parts[2]))
    score = model(image.unsqueeze(0))[0, target]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0][0].detach(), gradient[0]


def plain_plus_plus(features: Tensor, gradient: Tensor) -> Tensor:
    total = torch.zeros(features.shape[1:])
    for channel, slope in zip(features, gradient, strict=True):
        weight = 0.0
        for value in slope.flatten().tolist():
            bottom = 2 * value**2 + float(channel.sum()) * value**3
            if bottom and value > 0:
                weight += value**2 / bottom * value
        total += weight * channel
    return total.relu()


def plain_layer_cam(features: Tensor, gradient: Tensor) -> Tensor:
    total = torch.zeros(features.shape[1:])
    for channel, slope in zip(features, gradient, strict=True):
        total += slope.clamp(min=0) * channel
    return total.relu()


@pytest.mark.parametrize(
    ("explainer", "plain"),
    [(GradCAMPlusPlus(layer="conv2"), plain_plus_plus), (LayerCAM(layer="conv2"), plain_layer_cam)],
    ids=["grad_cam_plus_plus", "layer_cam"],
)
def test_variants_equal_a_plain_loop(explainer: CAM, plain: Callable[[Tensor, Tensor], Tensor]) -> None:
    model, batch = seeded(lenet), images(3, 1, 28, 28)
    maps = explainer.maps(model, batch, torch.tensor([[1, 4]] * 3))
    for number, image in enumerate(batch):
        for column, target in enumerate((1, 4)):
            expected = plain(*reference(model, "conv2", image, target))
            torch.testing.assert_close(maps[number, column], expected, rtol=1e-4, atol=1e-6)


def test_score_cam_equals_a_plain_loop() -> None:
    model, batch = seeded(lenet), images(2, 1, 28, 28)
    maps = ScoreCAM(layer="act2", batch_size=5).maps(model, batch, torch.tensor([[1, 4]] * 2))
    for number, image in enumerate(batch):
        features, _ = reference(model, "act2", image, 0)
        scores = []
        for channel in features:
            mask = (channel - channel.min()) / (channel.max() - channel.min()).clamp(min=1e-12)
            mask = F.interpolate(mask[None, None], (28, 28), mode="bilinear")[0]
            scores.append(model((image * mask).unsqueeze(0))[0].detach())
        for column, target in enumerate((1, 4)):
            weights = torch.stack(scores)[:, target].softmax(dim=0)
            expected = sum(weight * channel for weight, channel in zip(weights, features, strict=True))
            torch.testing.assert_close(maps[number, column], torch.as_tensor(expected).relu(), rtol=1e-4, atol=1e-6)


def test_eigen_cam_is_the_first_component_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    model, batch = seeded(lenet), images(2, 1, 28, 28)
    maps = EigenCAM(layer="act2").maps(model, batch, torch.tensor([[1, 4]] * 2))
    for number, image in enumerate(batch):
        features, _ = reference(model, "act2", image, 0)
        component = torch.as_tensor(PCA(1).fit_transform(features.flatten(1).T.numpy())).view(10, 10)
        if float((component * features.sum(dim=0)).sum()) < 0:
            component = -component
        torch.testing.assert_close(maps[number, 0], component.relu(), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(maps[number, 0], maps[number, 1])


def test_a_linear_head_on_the_mean_gives_the_classic_class_activation_map() -> None:
    """With global average pooling the gradient is the head's weight over the number of places (Zhou et al. 2016)."""
    torch.manual_seed(0)
    head = nn.Linear(5, 3)
    conv = nn.Conv2d(1, 5, 3)
    model = nn.Sequential(conv, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    batch = images(2, 1, 9, 9)
    maps = GradCAM().maps(model, batch, torch.tensor([[2], [0]]))
    features = conv(batch).relu().detach()
    for number, target in enumerate((2, 0)):
        expected = torch.einsum("c,chw->hw", head.weight[target].detach(), features[number]).relu() / 49
        torch.testing.assert_close(maps[number, 0], expected)


@pytest.mark.parametrize(
    ("make", "size", "layer"),
    [
        (lenet, 28, "act2"),
        (lambda: MnistCNN(channels=1, image_size=28, num_classes=10), 28, "relu2"),
        (lambda: torchvision.models.resnet18(num_classes=10), 64, "layer4"),
        (lambda: torchvision.models.resnet18(num_classes=10), 32, "layer3"),  # layer4 has one place left
        (lambda: thin_head(torchvision.models.vgg11), 64, "features.19"),
        (lambda: torchvision.models.swin_t(num_classes=10), 64, "permute"),
    ],
    ids=["lenet", "mnist_cnn", "resnet18", "resnet18 small", "vgg11", "swin_t"],
)
def test_the_last_feature_map_is_found(make: Callable[[], nn.Module], size: int, layer: str) -> None:
    model = seeded(make)
    channels = next(module for module in model.modules() if isinstance(module, nn.Conv2d)).in_channels
    assert find(model, images(1, channels, size, size)) == layer


def vit() -> nn.Module:
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "num_classes": 10}
    model: nn.Module = torchvision.models.VisionTransformer(image_size=32, patch_size=8, **sizes)
    return model


def test_a_vision_transformer_is_explained_on_its_grid_of_tokens() -> None:
    model = seeded(vit)
    nn.init.normal_(model.heads.head.weight)  # type: ignore[union-attr, arg-type]
    batch = images(1, 3, 32, 32)
    layer = find(model, batch)
    assert layer == "encoder.layers.encoder_layer_1.ln_1"  # what leaves the last block reaches no score
    maps = GradCAM().maps(model, batch, torch.tensor([[5]]))
    features, gradient = reference(model, layer, batch[0], 5)
    expected = torch.zeros(16)
    weights = gradient[1:].mean(dim=0)
    for place in range(16):
        expected[place] = max(0.0, float(weights @ features[1 + place]))
    torch.testing.assert_close(maps[0, 0], expected.view(4, 4))


def test_nothing_below_the_layer_is_differentiated() -> None:
    model = seeded(lenet)
    leaf, scores = cut(model, images(2, 1, 28, 28), "act2")
    assert leaf.is_leaf
    assert scores.requires_grad
    nodes, reached = [scores.grad_fn], 0
    while nodes:
        node = nodes.pop()
        if node is not None:
            reached += 1
            assert "Convolution" not in node.name()
            nodes += [below for below, _ in node.next_functions]
    assert reached > 3


@pytest.mark.parametrize("kind", CAMS, ids=lambda kind: kind.__name__)
def test_a_model_is_left_as_it_was_found(kind: type[CAM]) -> None:
    model = Normalized(lenet(), [0.1], [0.3]).train()
    model.network.conv1.weight.requires_grad_(False)  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asking = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    kind().maps(model, images(2, 1, 28, 28), torch.tensor([[1], [2]]))
    with pytest.raises(UserError):
        kind(layer="fc1").maps(model, images(2, 1, 28, 28), torch.tensor([[1], [2]]))
    with pytest.raises(RuntimeError):
        kind(layer="conv1").maps(model, images(2, 3, 28, 28), torch.tensor([[1], [2]]))
    assert num_hooks(model) == 0
    assert model.network.training
    assert asking == {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_frozen_bf16_compiled_and_inference_mode() -> None:
    model, batch, classes = seeded(lenet), images(2, 1, 28, 28), torch.tensor([[1, 2]] * 2)
    expected = GradCAM().maps(model, batch, classes)
    compiled: Any = torch.compile(model, backend="eager")
    compiled(batch)
    torch.testing.assert_close(GradCAM(layer="act2").maps(compiled, batch, classes), expected)
    torch.testing.assert_close(GradCAM().maps(compiled, batch, classes), expected)
    model.requires_grad_(False)
    torch.testing.assert_close(GradCAM().maps(model, batch, classes), expected)
    with torch.inference_mode():
        torch.testing.assert_close(GradCAM().maps(model, batch.clone(), classes), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = GradCAM().maps(model, batch, classes)
    torch.testing.assert_close(maps, expected, rtol=0.1, atol=0.05 * float(expected.max()))
    maps = GradCAM().maps(model.bfloat16(), batch, classes)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, expected, rtol=0.1, atol=0.05 * float(expected.max()))


def test_a_single_logit_explains_both_classes() -> None:
    torch.manual_seed(0)
    conv, head = nn.Conv2d(1, 4, 3), nn.Linear(4, 1)
    model = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    two = GradCAM(layer="0").maps(model, images(1, 1, 8, 8), torch.tensor([[0, 1]]))
    features = conv(images(1, 1, 8, 8))[0].detach()
    # The layer is the convolution, so the ReLU above gates the gradient; the logit is two scores, half of it and minus.
    weights = head.weight[0].detach() * (features > 0).float().mean(dim=(1, 2)) / 36 / 2
    signed = torch.einsum("c,chw->hw", weights, features)
    torch.testing.assert_close(two[0, 1], signed.relu())
    torch.testing.assert_close(two[0, 0], (-signed).relu())


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("layer5", ["layer5: no such module", "did you mean", "conv1", "layer4"]),
        ("layer4.2", ["layer4.2: no such module", "layer4.0", "layer4.1"]),
        ("fc", ["fc: its output (10) has no spatial extent"]),
        ("avgpool", ["avgpool: its output (512x1x1) has no spatial extent"]),
    ],
)
def test_a_wrong_layer_is_refused_with_the_candidates(layer: str, words: list[str]) -> None:
    model = seeded(lambda: torchvision.models.resnet18(num_classes=10))
    with pytest.raises(UserError) as refused:
        GradCAM(layer=layer).maps(model, images(1, 3, 64, 64), torch.tensor([[0]]))
    assert all(word in str(refused.value) for word in words)
    assert "\n" not in str(refused.value)


def test_a_model_without_feature_maps_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(UserError, match="no layer with a spatial extent"):
        GradCAM().maps(model, images(1, 1, 8, 8), torch.tensor([[0]]))
