"""One step of the optimizers against plain PyTorch."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.compute.precision import Precision
from dlrun.compute.seeding import of_step
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import Batch
from dlrun.dataset.field import images
from dlrun.model.normalized import Normalized
from dlrun.task.classification import Classification
from dlrun.task.task import Clock, Forward, Net, Task
from dlrun.training.division import Division
from dlrun.training.step import Step
from dlrun.training.world import Alone, TreeSum

CPU = torch.device("cpu")
FP32 = Precision("fp32", CPU)


def clock(step: int = 0) -> Clock:
    return Clock(step=step, steps_per_epoch=10, training=True)


# Two players


class Pair(nn.Module):
    """A generator of numbers and a discriminator of them."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
        self.discriminator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, noise: Tensor) -> Tensor:
        made: Tensor = self.generator(noise)
        return made


class Adversaries(Task):
    """The losses of Goodfellow et al. 2014: the discriminator's, and the generator's that does not saturate."""

    players = ("discriminator", "generator")
    monitor = "val/loss"
    needs = ("image",)

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        assert isinstance(net, Normalized)
        assert isinstance(net.network, Pair)
        made = net(batch["noise"])
        if player == "generator":
            return Forward(F.softplus(-net.network.discriminator(made)).mean(), made)
        real, fake = net.network.discriminator(batch["image"]), net.network.discriminator(made)
        return Forward((F.softplus(-real) + F.softplus(fake)).mean(), made)

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"mean": outputs.mean()}

    def check_output(self, output: Tensor) -> None:
        pass


def pairs(count: int, size: int = 6) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    return [
        {"noise": torch.randn(size, 3, generator=generator), "image": torch.randn(size, 4, generator=generator) + 2}
        for _ in range(count)
    ]


def pair(seed: int = 0) -> Pair:
    torch.manual_seed(seed)
    return Pair()


def flat(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters())


def optimizers(network: Pair) -> dict[str, torch.optim.Optimizer]:
    return {
        "discriminator": torch.optim.Adam(network.discriminator.parameters(), lr=0.01, betas=(0.5, 0.9)),
        "generator": torch.optim.SGD(network.generator.parameters(), lr=0.05, momentum=0.9),
    }


def test_two_players_are_a_plain_loop_to_the_bit() -> None:
    network, batches = pair(), pairs(12)
    task = Adversaries(nn.Identity(), 0)
    step = Step(task, Normalized(network, None, None), optimizers(network), FP32)
    found = [step([batch], clock(number), 0.5 ** (number > 5)) for number, batch in enumerate(batches)]

    plain, losses = pair(), []
    of_d, of_g = optimizers(plain).values()
    for number, batch in enumerate(batches):
        for optimizer, rate in ((of_d, 0.01), (of_g, 0.05)):
            optimizer.param_groups[0]["lr"] = rate * 0.5 ** (number > 5)
        fake = plain.generator(batch["noise"]).detach()
        of_d.zero_grad()
        loss_d = (F.softplus(-plain.discriminator(batch["image"])) + F.softplus(plain.discriminator(fake))).mean()
        torch.autograd.backward(loss_d)
        of_d.step()
        of_g.zero_grad()
        made = plain.generator(batch["noise"])
        loss_g = F.softplus(-plain.discriminator(made)).mean()
        torch.autograd.backward(loss_g)
        of_g.step()
        losses.append((loss_d.detach(), loss_g.detach(), fake.mean()))

    for name, value in plain.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert not torch.equal(flat(plain), flat(pair()))
    for means, (loss_d, loss_g, mean) in zip(found, losses, strict=True):
        assert list(means) == ["discriminator_loss", "discriminator_mean", "generator_loss", "generator_mean"]
        assert torch.equal(means["discriminator_loss"], loss_d)
        assert torch.equal(means["generator_loss"], loss_g)
        assert torch.equal(means["generator_mean"], mean)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_two_players_in_micro_batches_are_the_whole_batch_to_rounding() -> None:
    found = []
    for parts in (pairs(3), [joined(pairs(3))]):
        network = pair()
        means = Step(Adversaries(nn.Identity(), 0), Normalized(network, None, None), optimizers(network), FP32)(
            parts, clock(), 1.0
        )
        found.append((flat(network), {name: float(value) for name, value in means.items()}))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
    assert found[0][1]["discriminator_loss"] != pytest.approx(found[0][1]["generator_loss"], rel=0.1)


@pytest.mark.parametrize("count", [1, 2], ids=["whole", "in parts"])
def test_a_players_loss_leaves_gradients_in_its_own_parameters_alone(count: int) -> None:
    network = pair()
    network.get_parameter("generator.0.bias").requires_grad_(False)  # frozen by the user: stays so
    found: list[set[str]] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            found.append({name for name, each in network.named_parameters() if each.grad is not None})
            for each in network.parameters():
                each.grad = None  # the other player's would still be there

    made = {player: Watched(network.get_submodule(player).parameters(), lr=0.1) for player in Adversaries.players}
    Step(Adversaries(nn.Identity(), 0), Normalized(network, None, None), made, FP32)(pairs(count), clock(), 1.0)
    names = [name for name, each in network.named_parameters() if each.requires_grad]
    assert found == [{name for name in names if name.startswith(player)} for player in Adversaries.players]
    assert not network.get_parameter("generator.0.bias").requires_grad


# Micro-batches


def network(dropout: float = 0.0, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(9, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(16, 3)).train()


def stepped(model: nn.Module, lr: float = 0.1, **more: Any) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return Step(Classification(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, FP32, Division(**more))


def batches(*sizes: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    return [
        {
            "image": torch.rand(size, 1, 3, 3, generator=generator),
            "target": torch.randint(0, 3, (size,), generator=generator),
        }
        for size in sizes
    ]


def joined(parts: list[Batch]) -> Batch:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


@pytest.mark.parametrize("sizes", [(8, 8), (8, 8, 8, 8), (7, 7, 3), (1, 1, 1, 1, 1)])
def test_micro_batches_have_the_gradient_and_metrics_of_the_mean_over_all_examples(sizes: tuple[int, ...]) -> None:
    parts = batches(*sizes)
    many, whole = stepped(network()), stepped(network())
    means = many(parts, clock(), 1.0)
    expected = whole([joined(parts)], clock(), 1.0)
    torch.testing.assert_close(gradient(many.model), gradient(whole.model), rtol=1e-5, atol=1e-7)
    assert float(gradient(many.model).norm()) > 0.01
    for name, value in expected.items():
        torch.testing.assert_close(means[name], value, rtol=1e-6, atol=1e-7)
    for one, other in zip(many.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


class Distance(Classification):
    """Whose loss torch leaves in the memory of all its terms."""

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        logits = net(batch["image"])
        return Forward(F.mse_loss(logits, torch.zeros_like(logits)), logits)


@pytest.mark.parametrize("sizes", [(8,), (4, 4)], ids=["whole", "in parts"])
def test_means_do_not_keep_what_they_were_computed_from_in_memory(sizes: tuple[int, ...]) -> None:
    """They are kept until the epoch ends: as pieces of a step's vector they would hold all of it, step after step."""
    step = stepped(network(norm=True))
    step.task = Distance(nn.CrossEntropyLoss(), 3)
    means = step(batches(*sizes), clock(), 1.0)
    assert {"loss", "accuracy"} <= set(means)
    assert {value.untyped_storage().nbytes() for value in means.values()} == {4}


def test_with_batch_norm_micro_batches_are_not_the_large_batch() -> None:
    """Each is normalised by its own mean and variance: ``trainer.replicas`` is documented to differ here."""
    parts = batches(4, 4, 4, 4)
    many, whole = stepped(network(norm=True)), stepped(network(norm=True))
    many(parts, clock(), 1.0)
    whole([joined(parts)], clock(), 1.0)
    difference = (gradient(many.model) - gradient(whole.model)).norm() / gradient(whole.model).norm()
    assert float(difference) > 0.05


def test_preparing_micro_batches_leaves_running_statistics_alone() -> None:
    """It would change others in each process; an attack in a training runs the network so."""

    class Peeking(Classification):
        def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
            net(10 * batch["image"])
            return batch

    found = []
    for task in (Classification, Peeking):
        model = network(norm=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        Step(task(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, FP32)(batches(8, 8), clock(), 1.0)
        found.append({name: value.tolist() for name, value in model.state_dict().items()})
    assert found[0] == found[1]


def test_with_mixup_micro_batches_are_not_the_large_batch() -> None:
    """Images are mixed with others of their own batch alone."""
    fields = images()
    mixed = [
        Augment(mixup=1.0)(part, fields, 3, np.random.default_rng([0, 0, number]))
        for number, part in enumerate(batches(8, 8))
    ]
    large = Augment(mixup=1.0)(joined(batches(8, 8)), fields, 3, np.random.default_rng([0, 0, 0]))
    many, whole = stepped(network()), stepped(network())
    many(mixed, clock(), 1.0)
    whole([large], clock(), 1.0)
    difference = (gradient(many.model) - gradient(whole.model)).norm() / gradient(whole.model).norm()
    assert float(difference) > 0.05


def tree(parts: list[Tensor]) -> Tensor:
    """The sum as a tree: the left subtree is the largest power of two below the number of parts."""
    if len(parts) == 1:
        return parts[0]
    half = 1
    while 2 * half < len(parts):
        half *= 2
    return tree(parts[:half]) + tree(parts[half:])


@pytest.mark.parametrize("count", range(1, 10))
def test_the_sum_adds_in_the_order_of_a_binary_tree(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    scale = 10 ** torch.randint(-3, 4, (count, 1), generator=generator).float()
    parts = list(torch.randn(count, 1000, generator=generator) * scale)
    sums = TreeSum()
    for place, part in enumerate(parts):
        sums.add(place, part.clone())
    found = sums.total()
    assert torch.equal(found, tree(parts))
    one_by_one = torch.stack(parts).cumsum(0)[-1]
    if count > 3:
        assert not torch.equal(found, one_by_one), "rounding tells the orders apart"


# Randomness


class Part(Alone):
    """A process that computes one of the micro-batches."""

    size = 3

    def __init__(self, place: int) -> None:
        self.rank = place


def masks(parts: list[Batch], number: int = 0, seed: int = 0, disturb: int = 0, world: Alone | None = None) -> Tensor:
    """What dropout leaves of each micro-batch in a step."""
    model = cast(nn.Sequential, network(dropout=0.5))
    seen: list[Tensor] = []
    model[4].register_forward_hook(lambda _, given, output: seen.append(output != 0))
    model[3] = nn.Softplus()  # positive, so that zeros are dropout's
    made = stepped(model, lr=0.0, seed=seed, world=world)
    torch.manual_seed(disturb)
    torch.rand(disturb)
    made(parts, clock(number), 1.0)
    return torch.stack(seen)


@pytest.mark.parametrize("sizes", [(32,), (8, 8, 8)])
def test_a_steps_randomness_follows_from_seed_and_step_alone(sizes: tuple[int, ...]) -> None:
    parts = batches(*sizes)
    first = masks(parts)
    assert 0.4 < float(first.float().mean()) < 0.6
    assert torch.equal(first, masks(parts, disturb=17))
    assert not torch.equal(first, masks(parts, number=1))
    assert not torch.equal(first, masks(parts, seed=1))


def test_what_is_dropped_is_drawn_by_seed_step_place_and_turn() -> None:
    found = masks(batches(8, 8, 8), number=4, seed=7)
    for place, mask in enumerate(found):
        generator = torch.Generator().manual_seed(of_step(7, 4, place, 1))
        assert torch.equal(mask, torch.empty(8, 16).bernoulli_(0.5, generator=generator) == 1)
    (whole,) = masks(batches(32), number=4, seed=7)
    torch.manual_seed(of_step(7, 4, 0, 1))
    assert torch.equal(whole, F.dropout(torch.ones(32, 16), 0.5) != 0)


def test_places_draw_their_own_numbers() -> None:
    first, second, third = masks(batches(8, 8, 8))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_places_randomness_is_the_same_whoever_computes_it(place: int) -> None:
    parts = batches(8, 8, 8)
    assert torch.equal(masks(parts)[place], masks(parts, world=Part(place))[0])


def test_micro_batches_of_a_weighted_loss_have_the_gradient_of_the_whole_batch() -> None:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 5.0, 1.0]))
    parts = batches(5, 3, 8)
    found = []
    for given in (parts, [joined(parts)]):
        torch.manual_seed(0)
        model = network()
        step = Step(Classification(loss, 3), model, {"": torch.optim.SGD(model.parameters(), lr=0.1)}, FP32)
        means = step(given, clock(), 1.0)
        found.append((gradient(model), float(means["loss"]), float(means["accuracy"])))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-7)
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-6)


@pytest.mark.parametrize("measure", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_gradients_are_clipped_whether_or_not_their_norm_is_measured(clip_norm: float | None, measure: bool) -> None:
    plain = network()
    F.cross_entropy(plain(batches(8)[0]["image"]), batches(8)[0]["target"]).backward()  # type: ignore[no-untyped-call]
    norm = float(gradient(plain).norm())
    assert norm > 0.1
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = Step(Classification(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, FP32, clip_norm=clip_norm)
    step(batches(8), clock(), 1.0, measure)
    assert float(gradient(model).norm()) == pytest.approx(clip_norm or norm, rel=1e-4)
    if clip_norm or measure:
        assert step.gradient_norm is not None
        assert float(step.gradient_norm) == pytest.approx(norm, rel=1e-5)  # before clipping
    else:
        assert step.gradient_norm is None


def test_the_scale_of_gradients_goes_on() -> None:
    def scaled() -> Step:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Step(Classification(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, Precision("fp16", CPU))

    first, second = scaled(), scaled()
    first(batches(8), clock(), 1.0)
    first.scaler.update(1024.0)
    first(batches(8), clock(1), 1.0)
    assert (first.scaler.get_scale(), second.scaler.get_scale()) == (1024.0, 65536.0)
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["scaler"] == first.state_dict()["scaler"]
    assert second.scaler.get_scale() == 1024.0
