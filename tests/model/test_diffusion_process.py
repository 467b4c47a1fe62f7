"""Diffusion against its closed forms: both ways of the process, and the network between them."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

from dlrun.model.diffusion_process import DiffusionProcess
from dlrun.model.diffusion_unet import DiffusionUNet, waves
from dlrun.model.generative import Conditional, noise


def small() -> DiffusionUNet:
    torch.manual_seed(0)
    return DiffusionUNet(1, 8, 3, widths=[8, 16], sampling_steps=4).eval()


@pytest.mark.parametrize("steps", [1000, 200])
def test_mean_and_variance_are_those_of_the_steps_one_by_one(steps: int) -> None:
    process = DiffusionProcess(steps)
    mean, variance = 1.0, 0.0
    for t, added in enumerate(np.linspace(1e-4, 0.02, steps) * 1000 / steps, start=1):
        mean, variance = math.sqrt(1 - added) * mean, (1 - added) * variance + added
        signal, spread = (float(part) for part in process.parts(torch.zeros(1, 1), torch.tensor([t])))
        assert float(process.alpha_bar[t]) == pytest.approx(mean**2, abs=1e-5)
        assert signal == pytest.approx(mean, abs=1e-5)
        assert spread**2 == pytest.approx(variance, abs=1e-5)
    assert mean**2 == pytest.approx(4.0358e-5 if steps == 1000 else 3.0318e-5, rel=0.01)  # hardly anything is left


def test_noisy_images_have_this_mean_and_variance() -> None:
    process, count = DiffusionProcess(), 200_000
    times = torch.tensor([0, 1, 100, 500, 1000]).repeat_interleave(count)
    drawn = torch.randn(len(times), 1, generator=torch.Generator().manual_seed(0))
    found = process.noisy(torch.full_like(drawn, 0.7), drawn, times).view(5, count)
    left = process.alpha_bar[[0, 1, 100, 500, 1000]]
    deviation = (1 - left).sqrt()
    assert ((found.mean(1) - 0.7 * left.sqrt()).abs() <= 4 * deviation / count**0.5 + 1e-6).all()
    assert ((found.std(1) - deviation).abs() <= 4 * deviation / (2 * count) ** 0.5 + 1e-6).all()


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_ddim_without_noise_scales_and_with_the_exact_noise_comes_back(count: int) -> None:
    process = DiffusionProcess()
    torch.manual_seed(0)
    process.alpha_bar = process.alpha_bar.double()
    images, drawn = torch.rand(2, 3, 1, 4, 4, dtype=torch.float64).unbind()
    last = torch.full((3,), 1000)
    plain = process.sample(lambda noisy, times: torch.zeros_like(noisy), drawn, count)
    assert torch.allclose(plain, drawn / process.alpha_bar[1000].sqrt(), rtol=1e-5)
    start = process.noisy(images, drawn, last)
    back = process.sample(lambda noisy, times: process.noise_between(images, noisy, times), start, count)
    assert torch.allclose(back, images, atol=1e-5)


def test_ddim_is_the_loop_of_the_paper() -> None:
    process = DiffusionProcess(100)
    torch.manual_seed(0)
    drawn = torch.randn(2, 1, 4, 4)

    def predict(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return (noisy + times.view(-1, 1, 1, 1) / 100).sin()

    found, a = drawn, process.alpha_bar
    for t, s in ((100, 67), (67, 34), (34, 1), (1, 0)):  # equation 12 of Song et al. without new noise
        said = predict(found, torch.full((2,), t))
        guess = (found - (1 - a[t]).sqrt() * said) / a[t].sqrt()
        found = a[s].sqrt() * guess + (1 - a[s]).sqrt() * said
    assert torch.allclose(process.sample(predict, drawn, 4), found, rtol=1e-4, atol=1e-5)


def test_the_network_hears_time_and_class_and_trusts_its_input_where_all_is_noise() -> None:
    network = small()
    assert isinstance(network, Conditional)
    drawn, times, classes = noise(network, 2, 0), torch.tensor([500, 500]), torch.tensor([0, 1])
    said = network(drawn, times, classes)
    assert not torch.allclose(said[1:], network(drawn, times, classes.flip(0))[1:], atol=1e-4)
    assert not torch.allclose(said, network(drawn, times + 100, classes), atol=1e-4)
    assert torch.allclose(network(drawn, times + 500, classes), drawn, atol=0.1)
    told = waves(torch.tensor([0, 3]), 4)
    assert told.tolist() == [[0, 0, 1, 1], pytest.approx([math.sin(3), math.sin(0.03), math.cos(3), math.cos(0.03)])]


def test_attributes_of_protocols_are_found_statically_as_python_3_12_looks_for_them() -> None:
    for name in ("noise_shape", "num_classes", "generate"):  # a submodule or a buffer would not be
        assert inspect.getattr_static(small(), name) is not None


def test_images_follow_from_noise_and_class_and_are_pixels() -> None:
    network = small()
    drawn = noise(network, 4, 0)
    with torch.no_grad():
        in_turn = network.generate(drawn)
        assert torch.equal(in_turn, network.generate(drawn, torch.tensor([0, 1, 2, 0])))
        assert not torch.equal(in_turn, network.generate(drawn, torch.tensor([1, 1, 2, 0])))
    assert 0 <= float(in_turn.min()) < float(in_turn.max()) <= 1
    assert "process.alpha_bar" not in network.state_dict()


def test_sizes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="diffusion_steps=20: expected 21 or more"):
        DiffusionProcess(20)
    with pytest.raises(ValueError, match=r"halves an image 2 times; expected dataset.image_size divisible by 4"):
        DiffusionUNet(1, 14, 10, widths=[8, 8, 8])
