from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun import build, paths
from dlrun.config.compose import compose
from dlrun.errors import UserError
from dlrun.model import alexnet, resnet, vgg
from dlrun.model.activation import Name
from dlrun.model.cnn import CNN
from dlrun.model.conv_mixer import ConvMixer
from dlrun.model.layer_table import layers as layers_of
from dlrun.model.lenet import LeNet
from dlrun.model.linear import Linear
from dlrun.model.mlp import MLP
from dlrun.model.mnist_cnn import MnistCNN
from dlrun.model.norm import Norm, norm
from dlrun.model.normalized import Normalized
from dlrun.model.vit import VisionTransformer
from dlrun.model.xception import Xception, convolution

CONFIGS = sorted(path.stem for path in (paths.configs() / "model").glob("[a-z]*.yaml"))


def make(name: str, channels: int, image_size: int, num_classes: int, **changes: Any) -> nn.Module:
    """The model of a config file, for a dataset of these sizes."""
    dataset = {"channels": channels, "image_size": image_size, "num_classes": num_classes, "shape": None}
    config = OmegaConf.create({"dataset": dataset, "model": OmegaConf.load(paths.configs() / "model" / f"{name}.yaml")})
    config.model.update(changes)
    network = build.make(config.model, "model")
    assert isinstance(network, nn.Module)
    return network


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "image_size", "num_classes", "expected"),
    [
        ("linear", 1, 28, 10, 7_850),
        ("lenet", 1, 28, 10, 61_706),
        ("mnist_cnn", 1, 28, 10, 120_458),
        ("resnet18", 3, 224, 1000, 11_689_512),
        ("resnet34", 3, 224, 1000, 21_797_672),
        ("resnet50", 3, 224, 1000, 25_557_032),
        ("resnet101", 3, 224, 1000, 44_549_160),
        ("vgg11", 3, 224, 1000, 132_863_336),
        ("vgg13", 3, 224, 1000, 133_047_848),
        ("vgg16", 3, 224, 1000, 138_357_544),
        ("vgg19", 3, 224, 1000, 143_667_240),
        ("alexnet", 3, 224, 1000, 61_100_840),
    ],
)
def test_parameter_count_is_the_published_one(
    name: str, channels: int, image_size: int, num_classes: int, expected: int
) -> None:
    with torch.device("meta"):
        assert parameters(make(name, channels, image_size, num_classes)) == expected


NOT_FOR_ANY_IMAGE = {
    "alexnet",  # 63 pixels and more
    "layer",  # is one layer, which takes inputs of its own size
    "autoencoder",  # gives images
    *("unet", "fcn", "fcn_plain"),  # give a class for every pixel
    *("text_cnn", "embedding_bag", "signal_cnn"),  # read no images
    "dcgan",  # has one output, and another network beside it
    "diffusion_unet",  # gives the noise in an image
    *("clip", "captioner", "seq2seq"),  # read or write texts
    "perceptron",  # has one output
    "finetuned",  # stands for any network, on the sizes of its weights
    *("timm", "efficientnet_lite0"),  # of a package that may not be there
    "vit_b_16",  # sides that 16 divides
    "lipschitz_mlp",  # its constraints cannot be computed without values
    "lipschitz_cnn",
}


@pytest.mark.parametrize(("channels", "image_size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("name", sorted({*CONFIGS} - NOT_FOR_ANY_IMAGE))
def test_every_config_takes_small_images(name: str, channels: int, image_size: int) -> None:
    with torch.device("meta"):
        network = make(name, channels, image_size, 10).eval()
        assert network(torch.zeros(2, channels, image_size, image_size)).shape == (2, 10)


@pytest.mark.parametrize("dataset", ["mnist1d", "moons", "sentences"])
def test_a_model_of_images_says_what_reads_other_data(dataset: str) -> None:
    sizes = compose("train", [f"dataset={dataset}"])[0]
    expected = "lenet reads images.*expected model=signal_cnn or rnn for signals, text_cnn .* texts, mlp or .* points"
    with pytest.raises(UserError, match=expected):
        build.network(sizes, build.task(sizes))


def test_alexnet_takes_images_of_64_pixels() -> None:
    with torch.device("meta"):
        assert make("alexnet", 3, 64, 10).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize(
    ("fit", "smallest"),
    [
        (lambda size: LeNet(1, size, 10), 12),
        (lambda size: MnistCNN(1, size, 10), 22),
        (lambda size: CNN(1, size, 10, widths=[4, 4, 4]), 8),
        (lambda size: alexnet.fit(torchvision.models.alexnet(num_classes=10), 1, size), 63),
        (lambda size: vgg.fit(torchvision.models.vgg11(num_classes=10), 1, size, 10, small_images=False), 32),
    ],
    ids=["lenet", "mnist_cnn", "cnn", "alexnet", "vgg"],
)
def test_the_smallest_image_is_taken_and_a_smaller_one_refused(fit: Callable[[int], nn.Module], smallest: int) -> None:
    with torch.device("meta"):
        assert fit(smallest).eval()(torch.zeros(2, 1, smallest, smallest)).shape == (2, 10)
        with pytest.raises(ValueError, match=str(smallest)):
            fit(smallest - 1)


@pytest.mark.parametrize(
    ("name", "image_size", "changes"),
    [("lenet", 8, {}), ("mnist_cnn", 20, {}), ("alexnet", 32, {}), ("vgg11", 28, {"small_images": False})],
)
def test_a_config_with_too_small_images_is_a_user_error(name: str, image_size: int, changes: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=f"not {image_size}"):
        make(name, 1, image_size, 10, **changes)


def test_linear_is_one_matrix_on_the_flattened_image() -> None:
    torch.manual_seed(0)
    network = Linear(3, 4, 5)
    images = torch.rand(2, 3, 4, 4)
    weight, bias = network.parameters()
    torch.testing.assert_close(network(images), images.reshape(2, 48) @ weight.T + bias)


def test_lenet_matches_a_plain_forward_pass() -> None:
    torch.manual_seed(0)
    network = LeNet(1, 28, 10, activation="tanh")
    images = torch.rand(2, 1, 28, 28)
    p = network.state_dict()
    x = F.max_pool2d(F.conv2d(images, p["conv1.weight"], p["conv1.bias"], padding=2).tanh(), 2)
    x = F.max_pool2d(F.conv2d(x, p["conv2.weight"], p["conv2.bias"]).tanh(), 2).flatten(1)
    for layer in ("fc1", "fc2"):
        x = F.linear(x, p[f"{layer}.weight"], p[f"{layer}.bias"]).tanh()
    torch.testing.assert_close(network(images), F.linear(x, p["fc3.weight"], p["fc3.bias"]))


def test_mlp_depth_counts_hidden_layers_of_one_width() -> None:
    assert parameters(MLP(1, 4, 10, width=7, depth=3)) == (16 * 7 + 7) + 2 * (7 * 7 + 7) + (7 * 10 + 10)


def test_mlp_of_depth_zero_is_linear() -> None:
    assert parameters(MLP(1, 4, 10, depth=0)) == 16 * 10 + 10


def test_mlp_widths_replace_width_and_depth() -> None:
    network = MLP(1, 4, 10, width=99, depth=9, widths=[5, 6])
    assert parameters(network) == (16 * 5 + 5) + (5 * 6 + 6) + (6 * 10 + 10)


ACTIVATIONS: dict[Name, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: x.clamp(min=0),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "silu": lambda x: x / (1 + (-x).exp()),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_mlp_applies_the_activation_between_its_layers(name: Name) -> None:
    torch.manual_seed(0)
    network = MLP(1, 4, 3, widths=[8, 9], activation=name)
    x = images = torch.randn(5, 1, 4, 4)
    x = x.flatten(1)
    weights = list(network.parameters())
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = ACTIVATIONS[name](x @ weight.T + bias)
    torch.testing.assert_close(network(images), x @ weights[-2].T + weights[-1])


def test_mlp_dropout_zeroes_its_share_of_hidden_units_in_training_only() -> None:
    torch.manual_seed(0)
    network = MLP(1, 2, 1, widths=[10_000], activation="identity", dropout=0.25)
    hidden = nn.Sequential(*list(network)[:-1])
    images = torch.rand(1, 1, 2, 2)
    assert (hidden(images) == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (hidden.eval()(images) == 0).sum() == 0


def test_cnn_with_global_pooling_has_the_parameters_of_3_64_64_gap_2() -> None:
    network = CNN(3, 28, 2, widths=[64, 64], global_pool=True)
    assert parameters(network) == (3 * 9 * 64 + 64) + (64 * 9 * 64 + 64) + (64 * 2 + 2)


def test_cnn_repeats_convolutions_in_blocks_before_a_dense_head() -> None:
    network = CNN(1, 12, 10, widths=[4, 6], convs=2, kernel=5, norm="batch", hidden=[7])
    convolutions = 25 * (1 * 4 + 4 * 4 + 4 * 6 + 6 * 6)
    norms = 2 * (4 + 4 + 6 + 6)
    assert parameters(network) == convolutions + norms + (6 * 3 * 3 * 7 + 7) + (7 * 10 + 10)


def test_cnn_matches_a_plain_forward_pass() -> None:
    torch.manual_seed(0)
    network = CNN(2, 9, 3, widths=[4, 5], pool="avg")
    images = torch.rand(2, 2, 9, 9)
    w1, b1, w2, b2, w3, b3 = network.parameters()
    x = F.avg_pool2d(F.conv2d(images, w1, b1, padding=1).relu(), 2)
    x = F.avg_pool2d(F.conv2d(x, w2, b2, padding=1).relu(), 2)
    torch.testing.assert_close(network(images), F.linear(x.flatten(1), w3, b3))


def test_cnn_without_pooling_keeps_the_image_size() -> None:
    network = CNN(1, 5, 2, widths=[3], pool="none")
    assert parameters(network) == (9 * 3 + 3) + (3 * 25 * 2 + 2)


def test_cnn_refuses_an_even_kernel() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        CNN(1, 28, 10, widths=[4], kernel=4)


@pytest.mark.parametrize(("image_size", "saved"), [(64, 0), (63, 64 * 3 * (7 * 7 - 3 * 3))])
def test_resnet_takes_its_small_form_below_64_pixels(image_size: int, saved: int) -> None:
    with torch.device("meta"):
        assert parameters(make("resnet18", 3, image_size, 1000)) == 11_689_512 - saved


@pytest.mark.parametrize("image_size", [28, 32])
def test_small_resnet_reaches_its_last_stage_with_4x4_positions(image_size: int) -> None:
    with torch.device("meta"):
        network = resnet.fit(torchvision.models.resnet18(num_classes=10), 1, image_size)
        shapes: list[torch.Size] = []
        network.layer4.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
        network.eval()(torch.zeros(2, 1, image_size, image_size))
    assert shapes == [(2, 512, 4, 4)]


@pytest.mark.parametrize("image_size", [28, 32])
def test_small_vgg_leaves_one_position_to_its_head(image_size: int) -> None:
    with torch.device("meta"):
        network = vgg.fit(torchvision.models.vgg11(num_classes=10), 1, image_size, 10)
        assert network.features(torch.zeros(2, 1, image_size, image_size)).shape == (2, 512, 1, 1)
        assert parameters(network.classifier) == 512 * 10 + 10


def test_another_number_of_channels_changes_only_the_first_convolution() -> None:
    with torch.device("meta"):
        assert parameters(make("resnet18", 1, 224, 1000)) == 11_689_512 - 2 * 64 * 7 * 7


def test_a_new_first_convolution_is_initialised_by_he() -> None:
    torch.manual_seed(0)
    network = resnet.fit(torchvision.models.resnet18(), 1, 224)
    assert network.conv1.weight.std().item() == pytest.approx((2 / (64 * 7 * 7)) ** 0.5, rel=0.05)


def test_normalized_equals_the_network_on_normalised_images() -> None:
    torch.manual_seed(0)
    network = MLP(3, 4, 5)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
    images = torch.rand(2, 3, 4, 4)
    channels = [(images[:, c] - mean[c]) / std[c] for c in range(3)]
    torch.testing.assert_close(Normalized(network, mean, std)(images), network(torch.stack(channels, dim=1)))


def test_normalized_without_mean_and_std_is_the_network() -> None:
    network = MLP(3, 4, 5)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(Normalized(network, None, None)(images), network(images))


def test_normalized_keeps_the_names_of_the_networks_weights() -> None:
    normalized = Normalized(LeNet(1, 28, 10), [0.1], [0.3])
    assert list(normalized.network.state_dict()) == list(LeNet(1, 28, 10).state_dict())


def test_normalized_adds_nothing_to_the_state_dict() -> None:
    normalized = Normalized(LeNet(1, 28, 10), [0.1], [0.3])
    assert {name.removeprefix("network.") for name in normalized.state_dict()} == set(LeNet(1, 28, 10).state_dict())


NORMS: dict[Norm, tuple[int, ...]] = {"layer": (1, 2, 3), "instance": (2, 3), "batch": (0, 2, 3)}
"""The axes that each takes mean and variance over."""


@pytest.mark.parametrize("name", NORMS)
def test_a_normalisation_is_over_its_axes(name: Norm) -> None:
    torch.manual_seed(0)
    features = 3 * torch.randn(4, 6, 5, 5) + 1
    centred = features - features.mean(NORMS[name], keepdim=True)
    expected = centred / (centred.square().mean(NORMS[name], keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(name, 6)(features), expected)


def test_group_normalisation_is_that_of_each_group_alone() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 12, 5, 5)
    groups = [norm("layer", 3)(part) for part in torch.split(features, 3, dim=1)]
    torch.testing.assert_close(norm("group", 12)(features), torch.cat(groups, dim=1))  # 8 groups do not divide 12: 4 do
    assert norm("none", 3)(features) is features
    with pytest.raises(ValueError, match="norm=weight: no such normalisation; expected batch, layer"):
        norm("weight", 3)  # type: ignore[arg-type]


def test_convmixer_has_the_parameters_of_its_course_and_its_patches() -> None:
    assert parameters(ConvMixer(3, 32, 10)) == 594_186
    network = ConvMixer(3, 32, 10, patch=4)
    assert network.get_submodule("patches")(torch.zeros(2, 3, 32, 32)).shape == (2, 256, 8, 8)
    with pytest.raises(ValueError, match=r"patch=5: expected a divisor of dataset\.image_size=32"):
        ConvMixer(3, 32, 10, patch=5)


def test_convmixer_matches_a_plain_forward_pass() -> None:
    torch.manual_seed(0)
    network = ConvMixer(1, 8, 3, width=4, depth=2, kernel=3)
    images = torch.rand(5, 1, 8, 8)
    (w, b), *layers = [(part.weight, part.bias) for part in network.modules() if isinstance(part, nn.Conv2d)]

    def after(features: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(F.gelu(features), None, None, training=True)

    x = after(F.conv2d(images, w, b, stride=2))
    for place in (0, 2):
        x = x + after(F.conv2d(x, *layers[place], padding=1, groups=4))
        x = after(F.conv2d(x, *layers[place + 1]))
    head = network.get_submodule("fc")
    torch.testing.assert_close(network(images), head(x.mean((2, 3))))


@pytest.mark.parametrize("separable", [True, False])
def test_xceptions_multiply_adds_are_those_of_its_convolutions(separable: bool) -> None:
    network = Xception(3, 16, 10, [8, 12, 20], separable)
    pairs, sides, shortcut = [(8, 12), (12, 12), (12, 20), (20, 20)], [16, 16, 8, 8], 8 * 12 * 64 + 12 * 20 * 16
    each = [9 * a + a * b if separable else 9 * a * b for a, b in pairs]
    convolutions = 27 * 8 * 256 + sum(count * side**2 for count, side in zip(each, sides, strict=True)) + shortcut
    found = layers_of(network, torch.zeros(1, 3, 16, 16))
    assert sum(layer.multiply_adds for layer in found) == convolutions + 20 * 10
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 10)


def test_a_separable_convolution_is_an_ordinary_one_of_rank_one_kernels() -> None:
    torch.manual_seed(0)
    pair = convolution(3, 5, separable=True)
    depthwise, pointwise = pair.get_parameter("depthwise.weight"), pair.get_parameter("pointwise.weight")
    images = torch.rand(2, 3, 7, 7)
    torch.testing.assert_close(pair(images), F.conv2d(images, pointwise * depthwise[:, 0], padding=1))


def test_vit_has_a_token_for_each_patch_and_says_what_it_cannot_take() -> None:
    network = VisionTransformer(3, 32, 10, patch=4, width=64, depth=4, heads=4, hidden=128)
    assert network.positions.shape == (1, 65, 64)
    layer = 3 * 64 * 65 + 64 * 65 + 128 * 65 + 64 * 129 + 4 * 64
    assert parameters(network) == (3 * 16 + 1) * 64 + 64 + 65 * 64 + 4 * layer + 2 * 64 + 65 * 10
    with pytest.raises(ValueError, match="patch=5: expected a divisor"):
        VisionTransformer(3, 32, 10, patch=5)
    with pytest.raises(ValueError, match="heads=3: expected a divisor"):
        VisionTransformer(3, 32, 10, heads=3)


def test_vit_matches_a_plain_forward_pass() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(1, 8, 3, patch=4, width=8, depth=2, heads=2, hidden=12).eval()
    nn.init.normal_(network.class_token)
    images = torch.rand(5, 1, 8, 8)
    corners = [(top, left) for top in (0, 4) for left in (0, 4)]
    weights, bias = network.patches.weight.flatten(1), network.patches.bias
    assert bias is not None
    tokens = [
        network.class_token[0].expand(5, 8),
        *(images[:, :, y : y + 4, x : x + 4].flatten(1) @ weights.T + bias for y, x in corners),
    ]
    x = torch.stack(tokens, dim=1) + network.positions
    for layer in network.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        attention = layer.self_attn
        queries, keys, values = (
            part.view(5, 5, 2, 4).transpose(1, 2)
            for part in F.linear(layer.norm1(x), attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).reshape(5, 5, 8)
        x = x + attention.out_proj(mixed)
        x = x + layer.linear2(F.gelu(layer.linear1(layer.norm2(x))))
    expected = network.fc(network.norm(x)[:, 0])
    torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():  # torch's fused layer
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)
