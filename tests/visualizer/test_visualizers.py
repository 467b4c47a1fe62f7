"""Activation maximisation in closed form; filters, templates and feature maps; the verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import nn

from dlrun.errors import UserError
from dlrun.figure.weights import templates
from dlrun.model.linear import Linear
from dlrun.model.normalized import Normalized
from dlrun.visualizer.activation_maximization import ActivationMaximization
from dlrun.visualizer.class_templates import ClassTemplates
from dlrun.visualizer.feature_maps import FeatureMaps
from dlrun.visualizer.filters import Filters
from dlrun.visualizer.visualizer import Subject
from tests.conftest import QUICK, Dlrun, Train, only_run, result
from tests.explainer.test_cam import lenet, num_hooks, seeded

PLAIN: dict[str, Any] = {"jitter": 0, "blur": 0.0, "tv": 0.0, "decay": 0.0}
CRUDE = [*(f"visualizer.{key}=0" for key in PLAIN), "visualizer.steps=100", "visualizer.objective=probability"]
DIGITS = [str(number) for number in range(10)]


def linear() -> Normalized:
    torch.manual_seed(0)
    return Normalized(Linear(channels=1, image_size=6, num_classes=3), [0.5], [0.5]).eval()


def test_the_optimum_of_a_linear_class_is_white_where_its_weight_is_positive() -> None:
    model = linear()
    images, values, _ = ActivationMaximization(**PLAIN, steps=60).ascend(model, (1, 6, 6), None, [0, 1, 2])
    weight = model.network.fc.weight.detach().view(3, 1, 6, 6)  # type: ignore[union-attr, operator]
    assert torch.equal(images, (weight > 0).float())
    assert values.shape == (61, 3)
    assert bool((values[-1] > values[0]).all())
    torch.testing.assert_close(values[-1], model(images).diagonal().detach())


def test_in_the_spectrum_it_comes_to_the_same_colours() -> None:
    model = linear()
    options = PLAIN | {"fourier": True, "steps": 400, "lr": 0.2}
    images, values, _ = ActivationMaximization(**options).ascend(model, (1, 6, 6), None, [0, 1, 2])
    best = model((model.network.fc.weight.view(3, 1, 6, 6) > 0).float()).diagonal()  # type: ignore[union-attr, operator]
    assert bool((values[-1] > 0.9 * best).all())
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1


@pytest.mark.parametrize("fourier", [False, True])
def test_an_image_leaves_the_start_where_every_relu_is_off(fourier: bool) -> None:
    model, white = linear(), torch.ones(1, 1, 6, 6)
    dense = nn.Linear(36, 2)
    nn.init.ones_(dense.weight)
    nn.init.constant_(dense.bias, -1.0)  # of 36 pixels of 0 on the normalised scale, and a little noise
    model.network = nn.Sequential(nn.Flatten(), dense, nn.ReLU())
    options = PLAIN | {"fourier": fourier, "steps": 300, "lr": 0.2 if fourier else 0.05}
    torch.manual_seed(0)
    _, values, _ = ActivationMaximization(**options).ascend(model, (1, 6, 6), None, [0, 1])
    assert bool((values[0] == 0).all())
    assert bool((values[-1] > 0.8 * model(white)[0]).all())


@pytest.mark.parametrize(
    ("option", "value", "measure"),
    [
        ("tv", 0.05, lambda images: images.diff(dim=3).abs().mean()),
        ("blur", 1.0, lambda images: images.diff(dim=3).abs().mean()),
        ("decay", 0.2, lambda images: (images - 0.5).abs().mean()),
        ("zero", 0.5, lambda images: (images != 0.5).float().mean()),
    ],
)
def test_regularisers_do_what_they_are_for(option: str, value: float, measure: Any) -> None:
    found = []
    for setting in (0.0, value):
        torch.manual_seed(0)
        options = PLAIN | {option: setting, "steps": 30, "blur_every": 1}
        found.append(measure(ActivationMaximization(**options).ascend(linear(), (1, 6, 6), None, [0, 1, 2])[0]))
    assert float(found[1]) < 0.8 * float(found[0])


def test_units_channels_and_layers_climb_and_the_model_stays() -> None:
    model = Normalized(seeded(lenet), [0.1], [0.3]).eval()
    for part, count in (("channel", 3), ("unit", 3), ("layer", 1)):
        explainer = ActivationMaximization(**PLAIN, part=part, steps=10, frames=3, count=3)  # type: ignore[arg-type]
        images, values, film = explainer.ascend(model, (1, 28, 28), "conv2", [0, 1, 2])
        assert images.shape == (count, 1, 28, 28)
        assert film.shape == (3, count, 1, 28, 28)
        assert bool((values[-1] > values[0]).all())
    shown = ActivationMaximization(layers=["act1", "fc1"], steps=2, count=2).show(model, Subject((1, 28, 28), DIGITS))
    assert set(shown.curves) == {"activation/act1:0", "activation/act1:1", "activation/fc1:0", "activation/fc1:1"}
    assert num_hooks(model) == 0
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_probability_of_a_class_can_be_the_objective() -> None:
    model = linear()
    options = PLAIN | {"objective": "probability", "steps": 40}
    _, values, _ = ActivationMaximization(**options).ascend(model, (1, 6, 6), None, [1])
    assert float(values.exp().max()) <= 1
    assert float(values[-1].exp()) > float(values[0].exp())


def test_wrong_units_and_layers_are_refused() -> None:
    model, subject = Normalized(lenet(), None, None).eval(), Subject((1, 28, 28), DIGITS)
    with pytest.raises(UserError, match="units=10: no such unit; expected 0 to 9"):
        ActivationMaximization(units=[10]).show(model, subject)
    with pytest.raises(UserError, match="conv9: no such module"):
        ActivationMaximization(layers=["conv9"]).show(model, subject)
    with pytest.raises(ValueError, match="fourier"):
        ActivationMaximization(fourier=True)
    with pytest.raises(UserError, match="no linear classifier"):
        ClassTemplates().show(model, subject)
    with pytest.raises(UserError, match="no convolution"):
        Filters().show(Normalized(nn.Flatten(), None, None), subject)
    with pytest.raises(UserError, match="no spatial extent"):
        FeatureMaps(layers=["fc1"]).show(model, Subject((1, 28, 28), DIGITS, torch.zeros(1, 28, 28)))
    assert num_hooks(model) == 0


def test_filters_templates_and_feature_maps_have_a_picture_each() -> None:
    model, image = Normalized(lenet(), None, None).eval(), torch.rand(1, 28, 28)
    shown = Filters().show(model, Subject((1, 28, 28), DIGITS)).figures["filters"]
    assert sum(len(axes.images) for axes in shown.axes) == 6 + 1  # the colour bar
    shown = FeatureMaps(count=4).show(model, Subject((1, 28, 28), DIGITS, image)).figures["feature_maps"]
    assert sum(len(axes.images) for axes in shown.axes) == 1 + 4 * 4  # conv1, act1, conv2, act2
    found = ClassTemplates().show(linear(), Subject((1, 6, 6), ["a", "b", "c"])).figures["class_templates"]
    weight = linear().network.fc.weight.detach()  # type: ignore[union-attr, operator]
    share = (weight[1].view(6, 6) / weight.abs().max() + 1) / 2  # of the way from blue to red
    expected = colormaps["RdBu_r"](share.numpy())[..., :3]
    assert np.abs(np.asarray(found.axes[0].images[1].get_array()) - expected).max() < 0.02


def test_templates_of_images_in_colour_are_in_colour() -> None:
    weight = torch.zeros(2, 3, 4, 4)
    weight[0, 0], weight[1, 2] = 2, -1
    drawn = templates(weight, ["red", "no blue"]).axes[0].images
    assert np.asarray(drawn[0].get_array())[1, 1].tolist() == [1, 0.5, 0.5]
    assert np.asarray(drawn[1].get_array())[1, 1].tolist() == [0.5, 0.5, 0]


def test_the_verb_on_a_run(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK)
    ended = dlrun("visualize", "run=last", "visualizer.frames=4", *CRUDE)
    assert ended.status == 0, ended.err
    run = only_run(Path("runs/visualize"))
    metrics = result(run)["metrics"]
    assert set(metrics) == {"least_probability", *(f"probability/{name}" for name in DIGITS)}
    assert metrics["least_probability"] == min(metrics.values())
    assert min(metrics.values()) > 0.9
    with Image.open(run / "ascent.gif") as film:
        assert film.n_frames == 4  # type: ignore[attr-defined]
    for name in ("activation_maximization", "activation", "filmstrip"):
        assert Image.open(run / f"{name}.png").width == 1600
    assert dlrun("visualize", "run=last", "visualizer=class_templates").status == 0
    ended = dlrun("visualize", "run=last", "visualizer=filters")
    assert ended.status == 2
    assert "no convolution" in ended.err
