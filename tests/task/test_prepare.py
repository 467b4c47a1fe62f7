"""What tasks do to a batch before the network sees it: by the clock in training, the same each time in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.certify.bounds import worst_logits
from dlrun.dataset.batch import Batch
from dlrun.errors import UserError
from dlrun.model.perceptron import Perceptron as Network
from dlrun.task.adversarial import Adversarial
from dlrun.task.certified import Certified
from dlrun.task.classification import Classification
from dlrun.task.perceptron import Perceptron
from dlrun.task.task import Clock
from tests.attack.models import CLASSES, images, model
from tests.conftest import Dlrun, result

EPS = 0.2


def batch() -> Batch:
    pixels, targets = images()
    return {"image": pixels, "target": targets}


def adversarial(**options: Any) -> Adversarial:
    return Adversarial(nn.CrossEntropyLoss(), CLASSES, **{"attack": FGSM(EPS), **options})


def training(step: int) -> Clock:
    return Clock(step=step, epoch=step // 5, steps_per_epoch=5, training=True)


def test_most_tasks_leave_a_batch_as_it_is() -> None:
    given = batch()
    assert Classification(nn.CrossEntropyLoss(), CLASSES).prepare(model(), given, training(0)) is given


@pytest.mark.parametrize(("step", "share"), [(0, 0.1), (1, 0.2), (4, 0.5), (9, 1.0), (10, 1.0), (99, 1.0)])
def test_eps_grows_linearly_over_the_steps_of_the_warmup(step: int, share: float) -> None:
    given = batch()
    prepared = adversarial(warmup_epochs=2).prepare(model().train(), given, training(step))
    assert list(prepared) == ["image", "target", "attacked"]
    assert torch.equal(prepared["image"], given["image"])
    change = (prepared["attacked"] - given["image"]).abs()
    assert float(change.max()) == pytest.approx(EPS * share, rel=1e-5)


def test_without_a_warmup_eps_is_whole_from_the_first_step() -> None:
    prepared = adversarial().prepare(model().train(), batch(), training(0))
    assert float((prepared["attacked"] - prepared["image"]).abs().max()) == pytest.approx(EPS, rel=1e-5)


def test_an_evaluation_has_no_warmup() -> None:
    prepared = adversarial(warmup_epochs=2).prepare(model(), batch(), Clock(step=0, steps_per_epoch=5))
    assert float((prepared["attacked"] - prepared["image"]).abs().max()) == pytest.approx(EPS, rel=1e-5)


def test_an_evaluation_is_the_same_each_time_and_leaves_randomness_alone() -> None:
    made = adversarial(attack=PGD(0.05, steps=3, random_start=True))

    def attacked(clock: Clock) -> Tensor:
        return made.prepare(model(), batch(), clock)["attacked"]

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = attacked(Clock(step=0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(attacked(Clock(step=3)), first)
    in_training = [attacked(training(0)) for _ in range(2)]
    assert not torch.equal(*in_training), "a random start, so the state above could have moved"


@pytest.mark.parametrize(
    ("step", "grown"), [(0, 0.0), (9, 0.0), (10, 0.0), (15, 0.25), (20, 0.5), (30, 1.0), (500, 1.0)]
)
def test_the_certified_loss_grows_after_the_clean_epochs(step: int, grown: float) -> None:
    torch.manual_seed(0)
    net, given = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, CLASSES)), batch()
    made = Certified(nn.CrossEntropyLoss(), CLASSES, eps=0.1, share=0.4, clean_epochs=2, warmup_epochs=4)
    clean = made.evaluate(net, given).loss.detach()
    found = made.loss(net, made.prepare(net, given, training(step))).loss.detach()
    worst = nn.functional.cross_entropy(
        worst_logits(net, given["image"], given["target"], 0.1 * grown, "interval"), given["target"]
    ).detach()
    torch.testing.assert_close(found, (1 - 0.4 * grown) * clean + 0.4 * grown * worst)
    assert float(worst) > float(clean) or not grown


# The perceptron's rule


def test_a_step_of_plain_descent_is_rosenblatts_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    points, targets = torch.randn(40, 2, generator=generator), torch.arange(40) % 2
    net = nn.Module()
    net.network = Network(2, 1)
    net.forward = net.network.forward
    task, weight, updates = Perceptron(nn.Identity(), 2), torch.zeros(3), 0
    optimizer = torch.optim.SGD(net.network.parameters(), lr=0.5)
    for start in range(0, 40, 4):
        x, y = points[start : start + 4], 2 * targets[start : start + 4].float() - 1
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(net, {"point": x, "target": targets[start : start + 4]}).loss)
        optimizer.step()
        extended = torch.cat([x, torch.ones(4, 1)], dim=1)
        wrong = y * (extended @ weight) <= 0
        weight = weight + 0.5 * (y[wrong, None] * extended[wrong]).sum(dim=0)
        updates += bool(wrong.any())
    found = torch.cat([net.network.weight.detach()[0], net.network.bias.detach()])
    torch.testing.assert_close(found, weight)
    assert int(net.network.updates) == updates > 1


def test_an_evaluation_counts_no_update_and_measures_the_configs_loss() -> None:
    net = nn.Module()
    net.network = Network(2, 1)
    net.forward = net.network.forward
    given = {"point": torch.ones(3, 2), "target": torch.tensor([0, 1, 1])}

    class Loss(nn.Module):
        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.sum() + 7 + targets.sum()

    assert float(Perceptron(Loss(), 2).evaluate(net, given).loss) == 9
    assert int(net.network.updates) == 0


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"^task=perceptron: trains model=perceptron, not Sequential$"):
        Perceptron(nn.Identity(), 2).loss(model(), batch())


@pytest.mark.parametrize(
    ("name", "more"), [("perceptron", ["trainer.epochs=5"]), ("perceptron_batch", []), ("xor_perceptron", [])]
)
def test_the_experiments_meet_their_claims(dlrun: Dlrun, name: str, more: list[str]) -> None:
    quiet = ("callback.tensorboard=null", "callback.curves=null", "callback.decision_map=null", *more)
    ended = dlrun("train", f"experiment={name}", *quiet, "hydra.run.dir=run")
    assert ended.status == 0, ended.err  # a claim that is not met has another status
    assert "optimizer:\n  _target_: torch.optim.SGD\n  lr: 1.0\n  momentum: 0.0" in Path("run/config.yaml").read_text()
    metrics = result(Path("run"))["metrics"]
    if name == "xor_perceptron":
        assert metrics["test/accuracy"] <= 0.75
    else:
        assert metrics["train/accuracy"] == 1
