"""The GAN: a step of both players against a plain loop, and a training from the command line that continues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torch.nn import functional as F

from dlrun.compute.precision import Precision
from dlrun.model.dcgan import DCGAN
from dlrun.model.normalized import Normalized
from dlrun.task.frechet import frechet
from dlrun.task.gan import GAN
from dlrun.task.task import Clock
from dlrun.training.step import Step
from tests.conftest import Dlrun, result

SMALL = (
    "model=dcgan",
    "model.width=8",
    "model.latent=8",
    "task=gan",
    "dataset.image_size=8",
    "dataset.normalize=false",
    "dataset.per_class=10",
    "optimizer=adam",
    "optimizer.lr=0.001",
    "trainer.epochs=3",
    "callback.tensorboard.graph=false",
)


def test_the_distance_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, (200, 4)), rng.normal(0.5, 2, (300, 4))
    first, second = np.cov(one.T), np.cov(other.T)
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-9)
    assert frechet(torch.from_numpy(one), torch.from_numpy(one)) == pytest.approx(0, abs=1e-9)


def test_a_step_is_a_turn_of_the_discriminator_and_one_of_the_generator() -> None:
    def made() -> Normalized:
        torch.manual_seed(0)
        return Normalized(DCGAN(1, 8, latent=4, width=4), None, None)

    task = GAN(nn.MSELoss(), 10)
    images = torch.rand(6, 1, 8, 8)
    model = made()
    optimizers = {
        name: torch.optim.SGD(model.network.get_submodule(name).parameters(), lr=0.1) for name in task.players
    }
    step = Step(task, model, optimizers, Precision("fp32", torch.device("cpu")))
    means = step([{"image": images}], Clock(training=True), 1.0)
    noise = task.prepare(made(), {"image": images}, Clock(training=False))["noise"]
    assert noise.shape == (6, 4)

    net = made().network
    step_noise: list[torch.Tensor] = []
    watched = GAN(nn.MSELoss(), 10)
    prepare = watched.prepare

    def keep(*arguments: object) -> dict[str, torch.Tensor]:
        batch = prepare(*arguments)  # type: ignore[arg-type]
        step_noise.append(batch["noise"])
        return batch

    watched.prepare = keep  # type: ignore[method-assign, assignment]
    other = made()
    twins = {name: torch.optim.SGD(other.network.get_submodule(name).parameters(), lr=0.1) for name in task.players}
    Step(watched, other, twins, Precision("fp32", torch.device("cpu")))([{"image": images}], Clock(training=True), 1.0)
    (drawn,) = step_noise

    discriminator, generator = net.get_submodule("discriminator"), net.get_submodule("generator")
    first = torch.optim.SGD(discriminator.parameters(), lr=0.1)
    second = torch.optim.SGD(generator.parameters(), lr=0.1)
    samples = generator(drawn)
    real, fake = discriminator(images), discriminator(samples.detach())
    loss = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    loss = loss + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    torch.autograd.backward(loss)
    first.step()
    assert float(means["discriminator_loss"]) == pytest.approx(loss.item())
    generator.zero_grad()
    judged = discriminator(generator(drawn))
    loss = F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
    torch.autograd.backward(loss)
    second.step()
    assert float(means["generator_loss"]) == pytest.approx(loss.item())
    for name, value in net.named_parameters():
        assert torch.equal(value, model.network.get_parameter(name)), name


def test_r1_is_the_squared_gradient_at_real_images_and_nothing_in_an_evaluation() -> None:
    torch.manual_seed(0)
    network = nn.Module()
    network.generator, network.discriminator = nn.Sequential(nn.Unflatten(1, (1, 2, 2))), nn.Flatten()
    linear = nn.Linear(4, 1)
    network.forward = lambda images: linear(images.flatten(1)) ** 2
    model = Normalized(network, None, None)
    batch = {"image": torch.rand(5, 1, 2, 2), "noise": torch.randn(5, 4)}
    plain, punished = (
        GAN(nn.MSELoss(), 10, r1=weight).loss(model, batch, "discriminator").loss for weight in (0.0, 3.0)
    )
    slopes = 2 * linear(batch["image"].flatten(1)) * linear.weight
    torch.testing.assert_close(punished - plain, 1.5 * slopes.square().sum(dim=1).mean())
    torch.autograd.backward(punished)
    assert not batch["image"].requires_grad
    with torch.no_grad():
        assert torch.equal(GAN(nn.MSELoss(), 10, r1=3.0).loss(model, batch, "discriminator").loss, plain)
    with pytest.raises(ValueError, match="r1=-1: expected 0 or more"):
        GAN(nn.MSELoss(), 10, r1=-1)


def test_r1_with_replicas_continues_to_the_same_bits(dlrun: Dlrun) -> None:
    quick = ("scheduler=constant", "trainer.epochs=2", "callback.curves=null", "callback.tensorboard=null")
    words = (*SMALL, *quick, "task.r1=0.5", "trainer.replicas=2")
    assert dlrun("train", *words, "hydra.run.dir=whole").status == 0
    assert dlrun("train", *words, "trainer.epochs=1", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.epochs=2").status == 0
    whole, parts = (
        torch.load(f"{name}/checkpoints/last.pt", weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_training_writes_both_losses_and_continues_to_the_same_bits(dlrun: Dlrun) -> None:
    constant = (*SMALL, "scheduler=constant")
    ended = dlrun("train", *constant, "hydra.run.dir=whole")
    assert ended.status == 0, ended.err
    metrics = result(Path("whole"))["metrics"]
    assert {"train/discriminator_loss", "val/generator_loss", "test/pixel_distance"} <= metrics.keys()
    assert (Path("whole") / "figures" / "samples_made.png").exists()
    assert dlrun("train", *constant, "trainer.epochs=1", "hydra.run.dir=parts").status == 0
    assert dlrun("train", "run=parts", "trainer.epochs=3").status == 0
    whole, parts = (
        torch.load(f"{name}/checkpoints/last.pt", weights_only=True)["model"] for name in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_network_without_players_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "model=linear", "dataset.image_size=8", "task=gan")
    assert ended.status == 2
    assert "task=gan expects one logit" in ended.err
