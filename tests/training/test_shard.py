"""A network in parts on two processes: the training of one process, in half the memory, with plain checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.callback.callback import Callback
from dlrun.callback.checkpoint import Checkpoint
from dlrun.callback.tensorboard import TensorBoard
from dlrun.compute.precision import Precision
from dlrun.config import schema
from dlrun.dataset.batch import Batch
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.task.adversarial import Adversarial
from dlrun.task.certified import Certified
from dlrun.task.classification import Classification
from dlrun.task.gan import GAN
from dlrun.task.task import Clock
from dlrun.training import process_group
from dlrun.training.average import moving_average
from dlrun.training.division import Division
from dlrun.training.evaluation import score
from dlrun.training.overlapped_step import OverlappedStep
from dlrun.training.shard import blocks, check_watched, over_processes
from dlrun.training.sharded_step import ShardedStep
from dlrun.training.step import Step
from tests.conftest import Dlrun
from tests.test_configs import composed
from tests.training.gloo import in_processes
from tests.training.test_trainer import CPU, source

SIZES = (18, 17, 3, 1, 18)
"""Of the batches: the last but one gives the second process nothing."""
CLASSES = 5


def network(norm: bool = False) -> nn.Module:
    """Parameters that two processes cannot divide evenly, a block within a block, and some outside of any."""
    torch.manual_seed(0)
    block = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=not norm), nn.BatchNorm2d(3) if norm else nn.Identity(), nn.Tanh(), nn.Flatten()
    )
    return Head(nn.Sequential(block, nn.Linear(48, 31), nn.Tanh(), nn.Linear(31, 1)))


class Head(nn.Module):
    """A layer that is in no list, behind those that are."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers, self.last = layers, nn.Linear(1, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.layers(images))
        return logits


def batch(number: int, count: int) -> Batch:
    generator = torch.Generator().manual_seed(number)
    return {
        "image": torch.rand(count, 1, 6, 6, generator=generator),
        "target": torch.randint(0, CLASSES, (count,), generator=generator),
    }


def made(sharded: bool, norm: bool = False, synchronized: bool = False, clip: float | None = 0.5) -> Step:
    model = Normalized(network(norm), [0.5], [0.3])
    if sharded:
        model = over_processes(model, CPU, synchronized)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, eps=1e-3)
    division = Division(seed=7, world=process_group.current())
    kind = ShardedStep if sharded else OverlappedStep
    task = Classification(nn.CrossEntropyLoss(), CLASSES)
    return kind(task, model.train(), {"": optimizer}, Precision("fp32", CPU), division, clip, synchronized=synchronized)


def trained(step: Step, first: int = 0, last: int = len(SIZES)) -> dict[str, Any]:
    """What some steps give and leave: in the first process whole tensors."""
    given = []
    for number in range(first, last):
        means = step(step.division.cut(batch(number, SIZES[number])), Clock(number, training=True), 1.0, measure=True)
        assert step.gradient_norm is not None
        given.append({**{name: float(value) for name, value in means.items()}, "norm": float(step.gradient_norm)})
    assert isinstance(step.model, Normalized)
    return {"given": given, "model": {**step.model.network.state_dict()}, "step": step.state_dict()}


def two(folder: Path, call: Callable[[], Any], name: str = "two") -> Any:
    """What a call gives in the first of two processes."""
    return in_processes(2, folder / name, call)[0]


def assert_close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for one, other in zip(found["given"], wanted["given"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    states = [{**each["model"], **tensors(each["step"])} for each in (found, wanted)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[1].items():
        assert type(states[0][name]) is Tensor
        torch.testing.assert_close(states[0][name], value, atol=1e-5, rtol=1e-4, msg=name)


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """An optimizer's, by parameter and name."""
    held = state["optimizers"][""]["state"]
    return {f"{number} {name}": value for number, of in held.items() for name, value in of.items()}


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """A training in one process."""
    return trained(made(sharded=False))


def test_steps_are_those_of_one_process_to_rounding(tmp_path: Path, alone: dict[str, Any]) -> None:
    assert max(each["norm"] for each in alone["given"]) > 0.5, "clipping is at work"
    assert_close(two(tmp_path, lambda: trained(made(sharded=True))), alone)


def test_a_training_goes_on_in_parts_and_in_one_piece(tmp_path: Path, alone: dict[str, Any]) -> None:
    def go_on(step: Step, state: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(step.model, Normalized)
        step.model.network.load_state_dict(state["model"])
        step.load_state_dict(state["step"])
        return trained(step, first=3)

    whole = trained(made(sharded=False), last=3)
    in_parts = two(tmp_path, lambda: go_on(made(sharded=True), whole), "in parts")
    parts = two(tmp_path, lambda: trained(made(sharded=True), last=3), "parts")
    for end in (in_parts, go_on(made(sharded=False), parts)):
        assert_close({**end, "given": alone["given"][:3] + end["given"]}, alone)


def test_two_processes_hold_half_of_everything_each(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        step = made(sharded=process_group.current().size > 1)
        trained(step, last=1)
        gradients = [each.grad for each in step.model.parameters() if each.grad is not None]
        kept = [value for of in step.optimizers[""].state.values() for value in of.values()]
        local = [getattr(value, "_local_tensor", value) for value in (*step.model.parameters(), *gradients, *kept)]
        return sum(value.numel() * value.element_size() for value in local), len(gradients)

    (whole, count), shares = held(), in_processes(2, tmp_path / "two", held)
    assert whole > 4 * 4 * 31 * 48, "parameters, gradients and two moments"
    for share, gradients in shares:
        assert share < 0.53 * whole
        assert gradients == count
    assert sum(share for share, _ in shares) == pytest.approx(whole, rel=0.01)


def test_batch_norm_is_that_of_two_processes_or_of_the_whole_batch(tmp_path: Path) -> None:
    def ends() -> list[dict[str, Any]]:
        return [trained(made(*which), last=2) for which in ((False, True), (True, True), (True, True, True))]

    apart, sharded, synchronized = two(tmp_path, ends)
    whole = trained(made(sharded=False, norm=True), last=2)
    assert_close(sharded, apart)
    assert_close(synchronized, whole)
    assert sharded["given"][1]["loss"] != pytest.approx(whole["given"][1]["loss"], rel=1e-4)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("sharded", [False, True])
def test_synchronized_batch_norm_counts_a_batch_once_that_is_too_small_for_all(
    tmp_path: Path, sharded: bool, count: int
) -> None:
    ends = in_processes(count, tmp_path / "several", lambda: trained(made(sharded, norm=True, synchronized=True)))
    assert_close(ends[0], trained(made(sharded=False, norm=True)))


@pytest.mark.parametrize(
    "loss", [{"ignore_index": 0}, {"weight": torch.arange(5.0)}], ids=["ignored class", "class without weight"]
)
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("synchronized", [False, True])
def test_a_part_without_a_target_adds_nothing(
    tmp_path: Path, sharded: bool, synchronized: bool, loss: dict[str, Any]
) -> None:
    def ends() -> dict[str, Any]:
        several = process_group.current().size > 1
        step = made(sharded and several, norm=synchronized, synchronized=synchronized and several)
        step.task.criterion = nn.CrossEntropyLoss(**loss)
        given = batch(0, 8)
        given["target"][:4] = 0
        means = step(step.division.cut(given), Clock(training=True), 1.0)
        assert torch.isfinite(means["loss"])
        return trained(step, first=1, last=2)

    assert_close(two(tmp_path, ends), ends())


def test_scores_are_those_of_one_process_whatever_is_left_over(tmp_path: Path) -> None:
    def scored() -> dict[str, float]:
        step = made(sharded=process_group.current().size > 1)
        loader = Loader(source(41, 2), 20, CPU, in_memory=True, workers=0, num_classes=2)
        before = score(step.task, step.model, loader, step.precision, step.division).metrics()
        trained(step)  # a network that was first called in inference mode can be trained
        return before | {
            f"after {n}": v
            for n, v in score(step.task, step.model, loader, step.precision, step.division).metrics().items()
        }

    found = in_processes(2, tmp_path / "two", scored)
    assert found[0] == found[1] == pytest.approx(scored(), rel=1e-4)


def test_copies_and_averages_are_networks_in_parts_too(tmp_path: Path) -> None:
    def average() -> dict[str, Any]:
        step = made(sharded=process_group.current().size > 1)
        averaged = moving_average(step.model, 0.9)
        for number in range(3):
            trained(step, number, number + 1)
            averaged.update_parameters(step.model)
        kept = copy.deepcopy(averaged.module)
        state = {name: value.clone() for name, value in averaged.state_dict().items()}
        trained(step, 3, 4)
        averaged.update_parameters(step.model)
        averaged.load_state_dict(alone if (alone := given.get("state")) else state)
        images = batch(9, 3)["image"]
        with torch.inference_mode():
            outputs = [module.eval()(images) for module in (kept, averaged.module)]
        return {"state": state, "kept": outputs[0], "averaged": outputs[1], "trains": step.model.training}

    given: dict[str, Any] = {}
    given = average()
    found = two(tmp_path, average)
    assert found["trains"]
    assert found["state"].keys() == given["state"].keys() >= {"n_averaged", "module.network.last.weight"}
    for name in ("kept", "averaged"):
        torch.testing.assert_close(found[name], given["kept"])
    for name, value in given["state"].items():
        torch.testing.assert_close(found["state"][name], value, atol=1e-5, rtol=1e-4)


def test_blocks_are_the_items_of_lists() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(3))
            self.layers = nn.ModuleList(nn.TransformerEncoderLayer(4, 2, 8) for _ in range(2))

    found = nn.ModuleDict({"encoder": Encoder(), "head": nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))})
    assert [type(each).__name__ for each in blocks(found)] == ["TransformerEncoderLayer"] * 2 + ["Linear"]


def test_layers_that_share_a_parameter_go_on_sharing_it(tmp_path: Path) -> None:
    def end() -> dict[str, Any]:
        torch.manual_seed(0)
        tied = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, CLASSES))
        tied[2].weight = tied[1].weight
        model = Normalized(tied, None, None)
        model = over_processes(model, CPU) if process_group.current().size > 1 else model
        given = batch(0, 6)
        torch.autograd.backward(F.cross_entropy(model(given["image"]), given["target"]))
        torch.optim.SGD(model.parameters(), lr=1.0).step()
        state = {**model.network.state_dict()}
        if not process_group.current().rank:
            torch.save(state, tmp_path / "state.pt")
        process_group.current().gather([0])
        model.network.load_state_dict(torch.load(tmp_path / "state.pt"))
        return {**model.network.state_dict()}

    found, wanted = two(tmp_path, end), end()
    torch.testing.assert_close(found, wanted)
    assert torch.equal(found["1.weight"], found["2.weight"])


class Reading(Callback):
    """One of a user's own, that says nothing of itself."""


@pytest.mark.parametrize(
    ("task", "callbacks", "complaint"),
    [
        (GAN, {}, "trainer.shard=true: task=GAN needs the network in one piece; expected false"),
        (Adversarial, {}, "trainer.shard=true: task=Adversarial needs"),
        (Certified, {}, "trainer.shard=true: task=Certified needs"),
        (Classification, {"mine": Reading()}, "callback.mine=Reading: reads the network, of which the first process"),
        (Classification, {"checkpoint": Checkpoint(keep=1)}, "callback.checkpoint=Checkpoint: reads"),
        (Classification, {"checkpoint": Checkpoint(), "tensorboard": TensorBoard()}, None),
    ],
)
def test_what_needs_the_network_in_one_piece_is_refused(
    task: type[Classification], callbacks: dict[str, Callback], complaint: str | None
) -> None:
    loader = Loader(source(4), 2, CPU, in_memory=True, workers=0, num_classes=2)
    data = Data(loader, loader, loader, ["left", "right"])
    of = task.__new__(task)
    if complaint is None:
        check_watched(of, callbacks, data)
        return
    with pytest.raises(UserError) as refused:
        check_watched(of, callbacks, data)
    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize(
    ("verb", "words", "complaint"),
    [
        (
            "train",
            ["trainer.replicas=4"],
            "trainer.replicas=4: needs the network in one piece; with trainer.shard=true",
        ),
        ("train", ["trainer.compile=true"], "trainer.compile=true: needs"),
        ("train", ["trainer.channels_last=true"], "trainer.channels_last=true: needs"),
        ("train", ["trainer.precision=fp16"], "trainer.precision=fp16: with trainer.shard=true expected fp32, bf16"),
        ("finetune", ["model.backbone=resnet18"], "trainer.shard=true: dlrun finetune needs the network in one piece"),
    ],
)
def test_options_that_need_it_are_refused(verb: str, words: list[str], complaint: str) -> None:
    with pytest.raises(UserError) as refused:
        schema.check(composed(verb, "trainer.shard=true", *words))
    assert str(refused.value).startswith(complaint)
    assert "\n" not in str(refused.value)


def test_one_process_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", "trainer.shard=true", "hydra.run.dir=run")
    assert ended.status == 2
    complaint = (
        "dlrun: trainer.shard=true: one process has nothing to share; expected trainer.devices=2 or more, or false"
    )
    assert ended.errors == [complaint]
    assert not Path("run").exists()
    ended = dlrun("evaluate", "model=lenet", "dataset=digits", "weights=x", "trainer.shard=true")
    assert ended.errors == ["dlrun: trainer.shard=true: nothing would read it, since dlrun evaluate trains nothing"]


def test_a_parameter_that_is_one_number_is_refused() -> None:
    net = nn.Linear(2, 2)
    net.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(UserError, match=r"^trainer.shard=true: scale is a single number; expected"):
        over_processes(Normalized(net, None, None), CPU)
