"""Adversarial and certified training: their losses against plain code, and what a training with them reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlrun.attack.fgsm import FGSM
from dlrun.attack.pgd import PGD
from dlrun.attack.square import Square
from dlrun.certify.bounds import worst_logits
from dlrun.dataset.batch import Batch
from dlrun.task.adversarial import Adversarial
from dlrun.task.certified import Certified
from dlrun.task.task import Clock, Forward
from tests.attack.models import CLASSES, images, model
from tests.conftest import QUICK, Dlrun, only_run, result

FAST = FGSM(0.02)
TRAINING = Clock(step=0, steps_per_epoch=10, training=True)


def batch() -> Batch:
    pixels, targets = images()
    return {"image": pixels, "target": targets}


def task(**options: Any) -> Adversarial:
    return Adversarial(nn.CrossEntropyLoss(), CLASSES, **{"attack": FAST, **options})


def trained(made: Adversarial, net: nn.Module, given: Batch) -> Forward:
    return made.loss(net, made.prepare(net, given, TRAINING))


def evaluated(made: Adversarial, net: nn.Module, given: Batch) -> tuple[Batch, Forward]:
    prepared = made.prepare(net, given, Clock())
    return prepared, made.evaluate(net, prepared)


def test_the_loss_is_that_of_attacked_images() -> None:
    net, given = model().train(), batch()
    loss, outputs = trained(task(), net, given)
    attacked = FAST(net, given["image"], given["target"], leave=False)
    torch.testing.assert_close(outputs, net(attacked))
    torch.testing.assert_close(loss, F.cross_entropy(net(attacked), given["target"]))
    assert net.training
    torch.autograd.backward(loss)
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_mix_is_the_weighted_mean_of_both_losses() -> None:
    net, given = model().train(), batch()
    clean, attacked, mixed = (float(trained(task(mix=mix), net, given).loss.detach()) for mix in (0.0, 1.0, 0.3))
    assert clean == pytest.approx(float(F.cross_entropy(net(given["image"]), given["target"])))
    assert mixed == pytest.approx(0.3 * attacked + 0.7 * clean, rel=1e-5)


def test_trades_is_the_clean_loss_and_a_divergence() -> None:
    net, given = model().train(), batch()
    loss, outputs = trained(task(trades=6.0, attack=PGD(0.02, steps=3)), net, given)
    clean = net(given["image"])
    probabilities = clean.softmax(1)
    divergence = (probabilities * (probabilities.log() - outputs.log_softmax(1))).sum(1).mean()
    assert float(divergence) > 0.01
    torch.testing.assert_close(loss, F.cross_entropy(clean, given["target"]) + 6 * divergence)


def test_evaluation_reports_both_accuracies_and_leaves_randomness_alone() -> None:
    net, given = model().eval(), batch()
    made = task(attack=PGD(0.02, steps=5))
    before = torch.get_rng_state()
    scores = made.scores()
    with torch.inference_mode():
        prepared, (loss, outputs) = evaluated(made, net, given)
    scores.add(prepared, loss, outputs)
    assert torch.equal(torch.get_rng_state(), before)
    metrics = scores.metrics()
    assert metrics["accuracy"] == 1
    assert 0 < metrics["robust_accuracy"] < 1
    with torch.inference_mode():
        _, again = evaluated(made, net, given)
    assert torch.equal(outputs, again.outputs)
    torch.testing.assert_close(loss, F.cross_entropy(net(given["image"]), given["target"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": None}, "attack=null: expected one"),
        ({"attack": FGSM([0.1, 0.2])}, "expected one number"),
        ({"mix": 1.5}, "mix=1.5: expected a share"),
        ({"warmup_epochs": -1}, "warmup_epochs=-1"),
        ({"trades": -1.0}, "trades=-1.0"),
        ({"trades": 6.0, "attack": Square(0.1)}, "trades takes an untargeted gradient attack"),
    ],
)
def test_wrong_settings(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**options)


def test_adversarial_training_makes_robust(dlrun: Dlrun) -> None:
    common = ("optimizer=adam", "optimizer.lr=0.01", "trainer.epochs=6", *QUICK[3:], "model=mlp", QUICK[1])
    robust = ("task=adversarial", "attack=pgd", "attack.steps=5", "attack.eps=0.2", "task.warmup_epochs=2")
    accuracies = []
    for name, more in (("plain", ()), ("robust", robust)):
        monitor = ("trainer.monitor=val/robust_accuracy",) if more else ()
        assert dlrun("train", *common, *more, *monitor, f"hydra.run.dir={name}").status == 0
        ended = dlrun("attack", f"run={name}", "attack.eps=0.2", "check=0", f"hydra.run.dir={name}-attacked")
        assert ended.status == 0, ended.err
        accuracies.append(result(Path(f"{name}-attacked"))["metrics"]["robust_accuracy"])
    assert accuracies[1] > accuracies[0] + 0.2
    trained = result(Path("robust"))
    assert trained["monitor"] == "val/robust_accuracy"
    assert trained["metrics"]["test/robust_accuracy"] == pytest.approx(accuracies[1], abs=0.1)
    assert dlrun("evaluate", "run=robust").status == 0
    evaluated = result(only_run(Path("runs/evaluate")))["metrics"]
    assert evaluated["test/robust_accuracy"] == trained["metrics"]["test/robust_accuracy"]


def test_a_continued_adversarial_training_ends_as_an_unbroken_one(dlrun: Dlrun) -> None:
    common = (*QUICK, "task=adversarial", "attack.random_start=true", "scheduler=constant")
    assert dlrun("train", *common, "hydra.run.dir=whole").status == 0
    assert dlrun("train", *common, "trainer.epochs=1", "hydra.run.dir=parts").status == 0
    ended = dlrun("train", "run=parts", "trainer.epochs=2")
    assert ended.status == 0, ended.err
    whole, parts = (torch.load(f"{name}/checkpoints/last.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(value, parts["model"][key]) for key, value in whole["model"].items())


def test_the_certified_loss_is_the_mix_with_the_worst_case() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, CLASSES)).train()
    given = batch()
    made = Certified(nn.CrossEntropyLoss(), CLASSES, eps=0.01, bound="linear", share=0.4)
    loss, outputs = made.loss(net, made.prepare(net, given, Clock(step=60, steps_per_epoch=10, training=True)))
    clean = F.cross_entropy(outputs, given["target"])
    worst = F.cross_entropy(worst_logits(net, given["image"], given["target"], 0.01, "linear"), given["target"])
    assert float(worst) > float(clean)
    torch.testing.assert_close(loss, 0.6 * clean + 0.4 * worst)
    torch.testing.assert_close(made.evaluate(net.eval(), given).loss, clean)


def test_wrong_settings_of_certified_training() -> None:
    with pytest.raises(ValueError, match="share=2"):
        Certified(nn.CrossEntropyLoss(), 2, share=2)
    with pytest.raises(ValueError, match="eps=-1"):
        Certified(nn.CrossEntropyLoss(), 2, eps=-1)


def test_an_attack_that_no_task_uses_is_refused(dlrun: Dlrun) -> None:
    ended = dlrun("train", *QUICK, "attack=pgd")
    assert ended.status == 2
    (line,) = ended.errors
    assert line == "dlrun: attack=dlrun.attack.pgd.PGD: the task attacks nothing; expected task=adversarial"
