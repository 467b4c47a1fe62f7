"""Micro-batches: the same bits whoever computes them, on any number of threads and processes."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.compute import threads
from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch, size
from dlrun.dataset.loader import Loader
from dlrun.model.normalized import Normalized
from dlrun.task.classification import Classification
from dlrun.task.task import Clock, Forward, Net
from dlrun.training.division import Division
from dlrun.training.evaluation import score
from dlrun.training.replica import Replica
from dlrun.training.step import Step
from dlrun.training.world import World
from tests.training.group import in_each
from tests.training.test_boundaries import outcome, run, trainer
from tests.training.test_trainer import CPU, source

torch.manual_seed(0)
LAYERS = nn.Sequential(
    nn.Conv2d(1, 6, 3),
    nn.BatchNorm2d(6),
    nn.ReLU(),
    nn.Dropout2d(0.2),
    nn.Flatten(),
    nn.Dropout(0.5),
    nn.Linear(96, 3),
)


def network() -> nn.Module:
    return copy.deepcopy(LAYERS)


def batch(count: int = 18) -> Batch:
    generator = torch.Generator().manual_seed(3)
    return {
        "image": torch.rand(count, 1, 6, 6, generator=generator),
        "target": torch.randint(0, 3, (count,), generator=generator),
    }


class Drawing(Classification):
    """A task that draws from torch's own random numbers, as a network of one's own may."""

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        logits = net(batch["image"] + 0.1 * torch.rand_like(batch["image"]))
        return Forward(F.cross_entropy(logits, batch["target"]), logits)


def stepped(division: Division, task: type[Classification] = Classification, steps: int = 4) -> tuple[str, Step]:
    """The SHA-256 of all that some steps leave and give."""
    model = Normalized(network(), [0.5], [0.3]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = Step(task(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, Precision("fp32", CPU), division)
    digest = hashlib.sha256()
    for number in range(steps):
        means = step(division.cut(batch(18 - number)), Clock(number, training=True), 1.0)
        for value in (*model.state_dict().values(), *means.values()):
            digest.update(value.numpy().tobytes())
    return digest.hexdigest(), step


@pytest.fixture(scope="module")
def alone() -> str:
    return stepped(Division(5, seed=7))[0]


@pytest.mark.parametrize("number", [2, 3, 5])
def test_steps_are_the_same_to_the_bit_on_any_number_of_threads(number: int, alone: str) -> None:
    digest, step = stepped(Division(5, seed=7, threads=number))
    assert digest == alone
    assert not step.division._draws, "dropout draws from generators of its own"
    assert step.replicas._free.qsize() > 1, "several threads were at work"
    assert stepped(Division(4, seed=7))[0] != alone
    assert stepped(Division(5, seed=8))[0] != alone


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_steps_are_the_same_to_the_bit_on_any_number_of_processes(count: int, alone: str) -> None:
    assert in_each(count, lambda world: stepped(Division(5, seed=7, world=world))[0]) == [alone] * count


def test_work_that_draws_what_threads_share_is_done_one_by_one() -> None:
    found = [stepped(Division(5, threads=number), Drawing) for number in (1, 2, 4)]
    assert len({digest for digest, _ in found}) == 1
    assert [step.division._draws for _, step in found] == [False, True, True]


def test_running_statistics_are_the_mean_of_what_replicas_make_of_them() -> None:
    division, given = Division(3), batch(15)
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(36, 3)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = Step(Classification(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, Precision("fp32", CPU), division)
    step(division.cut(given), Clock(training=True), 1.0)
    parts = torch.split(given["image"], 5)
    norm = model[0]
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, 0.1 * torch.stack([part.mean() for part in parts]).mean().view(1))
    variance = torch.stack([part.var() for part in parts]).mean().view(1)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)
    assert int(norm.num_batches_tracked) == 1  # type: ignore[arg-type]


def test_copies_share_parameters_and_nothing_else() -> None:
    model = network()
    replica = Replica(model)
    assert all(one is other for one, other in zip(replica.model.parameters(), model.parameters(), strict=True))
    assert not any(one is other for one, other in zip(replica.model.buffers(), model.buffers(), strict=True))
    model.train()[1].eval()  # type: ignore[index]
    replica.begin(0)
    assert [module.training for module in replica.model.modules()] == [module.training for module in model.modules()]


@pytest.mark.parametrize(("kind", "shape"), [(nn.Dropout, (400, 50)), (nn.Dropout2d, (400, 50, 3, 3))])
def test_dropout_of_a_copy_drops_the_share_that_it_should(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    layer = Replica(nn.Sequential(kind(0.3), nn.Linear(3, 3))).model[0].train()  # type: ignore[index]
    found: Tensor = layer(torch.ones(shape))
    assert sorted({*found.flatten().tolist()}) == pytest.approx([0, 1 / 0.7])
    assert 0.28 < float((found == 0).float().mean()) < 0.32
    if len(shape) == 4:  # whole channels
        assert torch.equal(found.amax((2, 3)), found.amin((2, 3)))
    assert torch.equal(layer.eval()(torch.ones(shape)), torch.ones(shape))


def test_dropout_of_a_copy_at_its_ends_and_by_the_pixel() -> None:
    def drop(share: float) -> Tensor:
        layer = Replica(nn.Sequential(nn.Dropout(share), nn.Linear(3, 3))).model[0].train()  # type: ignore[index]
        found: Tensor = layer(torch.ones(20, 5, 4, 4))
        return found

    assert torch.equal(drop(0), torch.ones(20, 5, 4, 4))
    assert torch.equal(drop(1), torch.zeros(20, 5, 4, 4))
    assert not torch.equal((half := drop(0.5)).amax((2, 3)), half.amin((2, 3)))


@pytest.mark.parametrize(("examples", "sizes"), [(18, [4, 4, 4, 3, 3]), (9, [3, 2, 2, 2]), (3, [3]), (1, [1])])
def test_a_batch_is_cut_evenly_and_no_part_has_one_example(examples: int, sizes: list[int]) -> None:
    given, parts = batch(examples), Division(5).cut(batch(examples))
    assert list(map(size, parts)) == sizes
    for name, values in given.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), values)


def scored(world: World | None = None, replicas: int | None = None, number: int = 1) -> dict[str, float]:
    model = Normalized(network(), [0.5], [0.3])
    loader = Loader(source(45, 2), 20, CPU, in_memory=True, workers=0, num_classes=3)
    division = Division(replicas, threads=number, world=world)
    return score(Classification(nn.CrossEntropyLoss(), 3), model, loader, Precision("fp32", CPU), division).metrics()


def test_scores_are_the_same_to_the_bit_on_any_number_of_threads_and_processes() -> None:
    task_loss = scored(replicas=4)
    assert [scored(replicas=4, number=number) for number in (2, 4)] == [task_loss] * 2
    for count in (2, 3):
        assert in_each(count, lambda world: scored(world, replicas=4)) == [task_loss] * count
    assert scored() == pytest.approx(task_loss, rel=1e-5)


@pytest.mark.parametrize("replicas", [None, 4])
def test_every_batch_is_watched_as_it_was_and_as_it_was_attacked(replicas: int | None) -> None:
    prepared_with: list[tuple[Net, Clock]] = []

    class Watched(Classification):
        def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
            prepared_with.append((net, clock))
            return super().prepare(net, batch, clock)

    model = Normalized(network(), [0.5], [0.3])
    loader = Loader(source(45, 2), 20, CPU, in_memory=True, workers=0, num_classes=3)
    told: list[tuple[Tensor, Tensor]] = []
    scores = score(
        Watched(nn.CrossEntropyLoss(), 3),
        model,
        loader,
        Precision("fp32", CPU),
        Division(replicas),
        attack=lambda batch: {**batch, "image": 1 - batch["image"]},
        watch=lambda part, prepared: told.append((part["image"], prepared["image"])),
    )
    images, targets = loader.examples(torch.arange(45))["image"], source(45, 2).targets
    before, after = (torch.cat(parts) for parts in zip(*told, strict=True))
    torch.testing.assert_close(before, images)
    torch.testing.assert_close(after, 1 - images)
    assert len(told) == (3 if replicas is None else 4 + 4 + 2)  # none of one example
    assert all(net is model and not clock.training for net, clock in prepared_with)
    steps = [0, 1, 2] if replicas is None else [0, 1, 2, 3, 4, 5, 6, 7, 4, 5]  # the last batch has two parts
    assert [clock.step for _, clock in prepared_with] == steps
    with torch.inference_mode():
        expected = F.cross_entropy(model(1 - images), targets)
    assert scores.metrics()["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_without_replicas_processes_score_every_example_once(count: int) -> None:
    whole = scored()
    for found in in_each(count, scored):
        assert found == pytest.approx(whole, rel=1e-5)
        assert found["accuracy"] == whole["accuracy"]


def test_a_whole_training_is_the_same_to_the_bit_on_two_threads(tmp_path: Path) -> None:
    outcomes = []
    for number in (1, 2):
        made = trainer(tmp_path / str(number), replicas=3)
        made.division.threads = number
        run(made)
        outcomes.append(outcome(tmp_path / str(number)))
    assert outcomes[0] == outcomes[1]


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    with threads.restored():
        torch.set_num_threads(3)
        threads.one()
        assert (torch.get_num_threads(), threads.given()) == (1, 3)
        threads.one()
        assert threads.given() == 3
        torch.set_num_threads(before)
    assert torch.get_num_threads() == threads.given() == before
