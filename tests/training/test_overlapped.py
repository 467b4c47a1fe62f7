"""Gradients that are added during the backward pass: DistributedDataParallel's, and those of one process."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch
from dlrun.model.normalized import Normalized
from dlrun.task.classification import Classification
from dlrun.task.task import Clock, Forward, Net
from dlrun.training import layout, overlapped_step, process_group
from dlrun.training.division import Division
from dlrun.training.options import TrainerOptions
from dlrun.training.overlapped_step import OverlappedStep
from dlrun.training.step import Step
from tests.training.gloo import in_processes
from tests.training.test_division import batch
from tests.training.test_trainer import CPU, OPTIONS


class Twice(Classification):
    """Calls its network twice for a loss."""

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        logits = net(batch["image"]) + net(batch["image"].flip(-1))
        return Forward(F.cross_entropy(logits, batch["target"]), logits)


class Heads(nn.Module):
    """A second head for bright images, which a process may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.heads[0](images)
        bright = images.mean((1, 2, 3)) > 1
        return logits.index_add(0, bright.nonzero()[:, 0], self.heads[1](images[bright])) if bright.any() else logits


def made(net: nn.Module, task: type[Classification] = Classification) -> OverlappedStep:
    model = Normalized(net, None, None).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    division = Division(seed=7, world=process_group.current())
    return OverlappedStep(task(nn.CrossEntropyLoss(), 3), model, {"": optimizer}, Precision("fp32", CPU), division)


def trained(step: OverlappedStep, batches: list[Batch]) -> dict[str, Tensor]:
    for number, given in enumerate(batches):
        step(step.division.cut(given), Clock(number, training=True), 1.0)
    return dict(step.model.state_dict())


def plain(norm: bool = False) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6) if norm else nn.Tanh(), nn.Flatten(), nn.Linear(96, 3))


@pytest.mark.parametrize("bucket", [1, 700, 25 * 2**20])
def test_gradients_are_those_of_distributed_data_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: int
) -> None:
    def both() -> list[dict[str, Tensor]]:
        from torch.nn.parallel import DistributedDataParallel

        torch.manual_seed(0)
        ours, rank = plain(norm=True), process_group.current().rank
        theirs = DistributedDataParallel(copy.deepcopy(ours))
        optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
        for number in range(3):
            given = {name: values.tensor_split(2)[rank] for name, values in batch(18 - 2 * number).items()}
            optimizer.zero_grad()
            F.cross_entropy(theirs(given["image"]), given["target"]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        trained(made(ours), [batch(18 - 2 * number) for number in range(3)])
        return [dict(ours.named_parameters()), dict(theirs.module.named_parameters())]

    monkeypatch.setattr(overlapped_step, "BUCKET", bucket)
    for ours, theirs in in_processes(2, tmp_path / "two", both):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, msg=name)


def test_means_do_not_keep_the_statistics_of_their_step_in_memory(tmp_path: Path) -> None:
    def held() -> set[int]:
        step = made(plain(norm=True))
        means = step(step.division.cut(batch(6)), Clock(0, training=True), 1.0)
        return {value.untyped_storage().nbytes() for value in means.values()}

    assert in_processes(2, tmp_path / "two", held) == [{4}, {4}]


@pytest.mark.parametrize(("make", "task"), [(Heads, Classification), (plain, Twice)], ids=["heads", "called twice"])
@pytest.mark.parametrize("count", [2, 3])
def test_networks_of_any_kind_train_as_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, make: Callable[[], nn.Module], task: Any
) -> None:
    monkeypatch.setattr(overlapped_step, "BUCKET", 200)
    batches = [batch(18), batch(2), batch(12)]  # the second one leaves a process without a part
    for given in batches[::2]:
        given["image"][-4:] += 1  # the last process alone uses the second head

    def end() -> dict[str, Tensor]:
        torch.manual_seed(0)
        return trained(made(make(), task), batches)

    for found in in_processes(count, tmp_path / "several", end):
        for name, value in end().items():
            torch.testing.assert_close(found[name], value, msg=name)


def test_only_a_large_network_without_replicas_sends_its_gradients_early() -> None:
    options = TrainerOptions(**OPTIONS)
    small, large = nn.Linear(10, 10), nn.Linear(4000, 2000)
    assert layout.step_class(options, small) is Step
    assert layout.step_class(options, large) is OverlappedStep
    assert layout.step_class(TrainerOptions(**{**OPTIONS, "replicas": 4}), large) is Step
    large.weight.requires_grad_(False)
    assert layout.step_class(options, large) is Step
