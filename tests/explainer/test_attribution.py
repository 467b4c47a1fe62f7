"""The explainers of captum in dlrun's contract, and the two baselines."""

from __future__ import annotations

from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from dlrun.errors import UserError
from dlrun.explainer.edges import Edges
from dlrun.explainer.explainer import Explainer, upsample
from dlrun.explainer.guided_backprop import GuidedBackprop
from dlrun.explainer.integrated_gradients import IntegratedGradients
from dlrun.explainer.occlusion import Occlusion
from dlrun.explainer.random import Random
from dlrun.explainer.saliency import Saliency
from dlrun.explainer.smooth_grad import SmoothGrad
from tests.explainer.test_cam import images, lenet, num_hooks, seeded

ALL: list[Explainer] = [Saliency(), SmoothGrad(samples=3), IntegratedGradients(steps=4), GuidedBackprop(), Occlusion()]


@pytest.mark.parametrize("explainer", ALL, ids=lambda explainer: type(explainer).__name__)
@pytest.mark.filterwarnings("ignore")
def test_a_map_for_each_class_and_the_model_as_before(explainer: Explainer) -> None:
    model = seeded(lenet).train()
    maps = explainer.maps(model, images(2, 1, 28, 28), torch.tensor([[1, 2, 3]] * 2))
    assert maps.shape == (2, 3, 28, 28)
    assert maps.dtype == torch.float32
    assert float(maps.min()) >= 0
    assert float((maps[:, 0] - maps[:, 1]).abs().max()) > 0
    assert not maps.requires_grad
    with pytest.raises(RuntimeError):
        explainer.maps(model, images(2, 3, 28, 28), torch.tensor([[1]] * 2))
    assert num_hooks(model) == 0
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_saliency_is_the_gradient() -> None:
    model, batch = seeded(lenet), images(2, 1, 28, 28)
    (gradient,) = torch.autograd.grad(model(batch.requires_grad_())[:, 4].sum(), batch)
    maps = Saliency().maps(model, batch.detach(), torch.tensor([[4], [4]]))
    torch.testing.assert_close(maps[:, 0], gradient[:, 0].abs())


def test_integrated_gradients_of_a_linear_model_are_its_weighed_pixels() -> None:
    torch.manual_seed(0)
    dense = nn.Linear(3 * 16, 5)
    model = nn.Sequential(nn.Flatten(), dense)
    batch = images(2, 3, 4, 4)
    maps = IntegratedGradients(steps=3).maps(model, batch, torch.tensor([[2], [0]]))
    for number, target in enumerate((2, 0)):
        weights = dense.weight[target].detach().view(3, 4, 4)
        torch.testing.assert_close(maps[number, 0], (weights * batch[number]).sum(dim=0).relu())


def test_guided_backprop_is_captums_also_where_a_relu_works_in_place_and_is_used_again() -> None:
    import torchvision

    model: Any = seeded(lambda: torchvision.models.resnet18(num_classes=10))
    batch, target = images(1, 3, 64, 64), torch.tensor([3])
    maps = GuidedBackprop().maps(model, batch, target.unsqueeze(1))
    expected: Tensor = captum.attr.GuidedBackprop(model).attribute(batch.clone(), target=target)
    torch.testing.assert_close(maps[:, 0], expected.abs().amax(dim=1).detach())


def test_guided_backprop_wants_a_relu() -> None:
    with pytest.raises(UserError, match="no ReLU"):
        GuidedBackprop().maps(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), images(1, 1, 4, 4), torch.tensor([[1]]))


def test_occlusion_finds_the_only_pixels_that_count() -> None:
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            corner = images[:, :, :4, :4].sum(dim=(1, 2, 3))
            return torch.stack([corner, -corner], dim=1)

    maps = Occlusion(window=0.2, stride=1).maps(Corner(), torch.ones(1, 3, 20, 20), torch.tensor([[0, 1]]))
    assert float(maps[0, 0, :4, :4].min()) == 48  # the score falls by 4 x 4 x 3 ones
    maps[0, 0, :4, :4] = 0
    assert float(maps.abs().max()) == 0


def test_edges_of_a_step_and_noise_by_seed() -> None:
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    edges = Edges().maps(nn.Identity(), step, torch.tensor([[0]]))[0, 0]
    assert edges.max(dim=0).values.tolist() == [0, 0, 4, 4, 0, 0]
    one, same, other = (
        Random(grid=(3, 4), seed=seed).maps(nn.Identity(), step, torch.tensor([[0]])) for seed in (1, 1, 2)
    )
    assert one.shape == (1, 1, 3, 4)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_upsampling_keeps_a_constant_and_is_exact_at_its_own_size() -> None:
    maps = images(2, 3, 5, 4)
    assert upsample(maps, (5, 4)) is maps
    torch.testing.assert_close(upsample(torch.full((2, 3, 5, 4), 0.7), (20, 30)), torch.full((2, 3, 20, 30), 0.7))


@pytest.mark.parametrize(
    ("target", "top_k", "expected"),
    [("cat", 1, [[0], [0]]), (["dog", 2], 1, [[1, 2], [1, 2]]), (None, 2, [[2, 0], [0, 1]]), (0, 1, [[0], [0]])],
)
def test_classes_by_name_by_number_or_the_most_probable(target: Any, top_k: int, expected: list[list[int]]) -> None:
    scores = torch.tensor([[1.0, 0.0, 2.0], [3.0, 2.0, 1.0]])
    assert Saliency(target=target, top_k=top_k).classes(scores, ["cat", "dog", "owl"]).tolist() == expected


@pytest.mark.parametrize(
    ("target", "words"), [("cta", "did you mean 'cat'"), (3, "expected 0 to 2"), (["dog", -1], "-1")]
)
def test_an_unknown_class_is_refused(target: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Saliency(target=target).classes(torch.zeros(1, 3), ["cat", "dog", "owl"])
    with pytest.raises(UserError, match="expected 1 to 3"):
        Saliency(top_k=4).classes(torch.zeros(1, 3), ["cat", "dog", "owl"])
