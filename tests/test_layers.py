"""Counts and receptive fields against closed forms, and against where gradients arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dlrun.model.layer_table import layers
from tests.conftest import QUICK, Dlrun, Train, only_run, result


def conv(**options: int) -> nn.Conv2d:
    return nn.Conv2d(1, 1, bias=False, **options)  # type: ignore[arg-type]


class Residual(nn.Module):
    """Two branches of different width, added."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(conv(kernel_size=3, padding=1), nn.ReLU(), conv(kernel_size=5, padding=2))
        self.narrow = conv(kernel_size=1)
        self.last = conv(kernel_size=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.wide(x) + self.narrow(x))
        return result


NETWORKS = {
    "plain": nn.Sequential(conv(kernel_size=3), conv(kernel_size=5), nn.ReLU(), conv(kernel_size=3)),
    "strides": nn.Sequential(conv(kernel_size=4, stride=2), conv(kernel_size=3, stride=3), conv(kernel_size=2)),
    "dilated": nn.Sequential(conv(kernel_size=3, dilation=2), conv(kernel_size=3, dilation=4)),
    "pooled": nn.Sequential(conv(kernel_size=3), nn.AvgPool2d(2), conv(kernel_size=3), nn.AvgPool2d(3)),
    "residual": Residual(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_receptive_field_is_where_the_gradient_arrives(name: str) -> None:
    network = NETWORKS[name]
    for parameter in network.parameters():
        nn.init.ones_(parameter)  # positive throughout: no gradient cancels or stops
    image = torch.ones(1, 1, 61, 61, requires_grad=True)
    output = network(image)
    centre = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, centre, centre], image)
    reached = torch.nonzero(gradient[0, 0].sum(dim=0)).flatten()  # dilation leaves holes between
    assert layers(network, image)[-1].receptive_field == int(reached[-1] - reached[0] + 1)


@pytest.mark.parametrize(
    ("layer", "image", "parameters", "multiply_adds"),
    [
        (nn.Conv2d(3, 64, 3, padding=1), (3, 32, 32), 1792, 1728 * 1024),
        (nn.Conv2d(8, 16, 3), (8, 10, 10), 1168, 1152 * 64),
        (nn.Conv2d(3, 32, (3, 5), dilation=2), (3, 20, 20), 1472, 1440 * 16 * 12),
        (nn.Conv2d(8, 8, 3, groups=8), (8, 5, 5), 80, 72 * 9),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), (4, 5, 5), 216, 216 * 25),
        (nn.Linear(7, 5), (7,), 40, 35),
        (
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True),
            (5, 8),
            3 * 72 + 72 + 108 + 104 + 4 * 8,
            5 * (3 * 64 + 64 + 96 + 96) + 2 * 25 * 8,
        ),
    ],
)
def test_counts_of_a_layer(layer: nn.Module, image: tuple[int, ...], parameters: int, multiply_adds: int) -> None:
    layer.requires_grad_(False)
    (found,) = layers(nn.Sequential(layer), torch.zeros(1, *image))
    assert (found.parameters, found.trainable, found.multiply_adds) == (parameters, 0, multiply_adds)


def test_weights_that_are_used_twice_count_once() -> None:
    shared = nn.Linear(4, 4)
    found = layers(nn.Sequential(shared, nn.ReLU(), shared), torch.zeros(1, 4))
    assert [layer.parameters for layer in found] == [20, 0, 0]


@pytest.mark.parametrize(
    ("experiment", "figures"),
    [
        ("receptive_field", {"parameters": 138_357_544, "last_conv_receptive_field": 196, "receptive_field": 212}),
        ("dense_layer", {"parameters": 256**4 * 9 + 256**2 * 3, "multiply_adds": 256**4 * 9}),
    ],
)
def test_inspect_counts_what_it_does_not_allocate(dlrun: Dlrun, experiment: str, figures: dict[str, int]) -> None:
    ended = dlrun("inspect", f"experiment={experiment}", "hydra.run.dir=run")
    assert ended.status == 0, ended.err
    metrics = result(Path("run"))["metrics"]
    assert {name: metrics[name] for name in figures} == figures


def test_inspect_reads_a_run(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK)
    ended = dlrun("inspect", "run=last")
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs/inspect")))["metrics"]["parameters"] == 650


def test_a_model_whose_classes_are_not_known_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("inspect", "model=resnet18", "dataset=image_folder")
    assert ended.errors == ["dlrun: dataset.num_classes: known only from the data; expected dataset.num_classes=N"]


def test_the_normalisation_in_front_changes_no_receptive_field(dlrun: Dlrun) -> None:
    ended = dlrun("inspect", "model=lenet", "dataset=mnist")
    assert ended.status == 0, ended.err
    # 5; a pooling of 2; another 5 at twice the spacing: 5 + 1 + 4 * 2
    assert result(only_run(Path("runs/inspect")))["metrics"]["last_conv_receptive_field"] == 14
