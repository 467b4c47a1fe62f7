"""The trainer against plain PyTorch."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.callback.callback import Callback, StepLog
from dlrun.compute.precision import Precision
from dlrun.dataset.batch import Batch, size
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import TensorSource, labelled
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.constant import Constant
from dlrun.scheduler.cosine import Cosine
from dlrun.scheduler.schedule import Schedule
from dlrun.task.classification import Classification
from dlrun.task.task import Forward, Net
from dlrun.training.diverged import DivergedError, check_scores, check_steps
from dlrun.training.division import Division
from dlrun.training.options import TrainerOptions
from dlrun.training.phase import Phase, Plan, check_last_batch
from dlrun.training.step import Step
from dlrun.training.trainer import Trainer

FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Of the trainers that were made; they go with the process."""
CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {
    "epochs": 2,
    "steps": None,
    "device": "cpu",
    "precision": "fp32",
    "devices": 1,
    "replicas": None,
    "sync_batch_norm": False,
    "shard": False,
    "clip_norm": None,
    "ema": None,
    "patience": None,
    "monitor": None,
    "validate_every": 1,
    "limit_batches": None,
    "compile": False,
    "channels_last": False,
    "deterministic": False,
    "log_every": 3,
}


class Watch(Callback):
    """Keeps what the hooks are called with."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        self.rates: list[float] = []
        self.epochs: list[dict[str, float]] = []
        self.improved: list[bool] = []

    def on_step_end(self, trainer: Trainer) -> None:
        self.rates.append(trainer.phase.step.learning_rate)

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        losses = dict(enumerate(log.losses, start=log.first))
        assert not self.losses.keys() & losses.keys()
        self.losses |= losses

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        self.epochs.append(metrics)
        self.improved.append(improved)


def source(count: int, seed: int = 0) -> TensorSource:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8))
    return labelled(images, (images[:, 0, :, :3].sum((1, 2)) > images[:, 0, :, 3:].sum((1, 2))).long())


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def trainer(
    batch_size: int = 10,
    lr: float = 0.1,
    schedule: Schedule | None = None,
    network_seed: int = 0,
    data_seed: int = 0,
    train: int = 45,
    val: int = 20,
    loss: nn.Module | None = None,
    **options: Any,
) -> tuple[Trainer, Watch]:
    torch.manual_seed(network_seed)
    model = Normalized(network(), [0.5], [0.25])

    def loader(count: int, seed: int | None) -> Loader:
        return Loader(source(count), batch_size, CPU, in_memory=True, workers=0, num_classes=2, seed=seed)

    watch = Watch()
    data = Data(loader(train, data_seed), loader(val, None), loader(20, None), ["left", "right"])
    task = Classification(loss or nn.CrossEntropyLoss(), 2)
    chosen = TrainerOptions(**(OPTIONS | options))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    division = Division(chosen.replicas)
    step = Step(task, model, {"": optimizer}, Precision(chosen.precision, CPU), division, chosen.clip_norm)
    FOLDERS.append(tempfile.TemporaryDirectory())
    folder = Path(FOLDERS[-1].name)
    made = Trainer(
        plans=[Plan(lambda: Phase(model, data, step))],
        task=task,
        schedule=schedule or Constant(),
        options=chosen,
        device=CPU,
        callbacks={"watch": watch},
        recorder=Recorder(folder),
        folder=folder,
        division=division,
    )
    made.open(None)
    return made, watch


def weights(made: Trainer) -> Tensor:
    return nn.utils.parameters_to_vector(made.model.parameters()).detach().clone()


def test_a_training_is_a_plain_loop_to_the_bit() -> None:
    made, watch = trainer(schedule=Cosine())
    made.fit()

    torch.manual_seed(0)
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    data = source(45)
    losses: list[float] = []
    for epoch in range(2):
        for batch in torch.from_numpy(np.random.default_rng([0, epoch]).permutation(45)).split(10):  # type: ignore[no-untyped-call]
            optimizer.param_groups[0]["lr"] = 0.1 * (1 + math.cos(math.pi * len(losses) / 10)) / 2
            images = (data.tensors["image"][batch].float() / 255 - 0.5) / 0.25
            loss = F.cross_entropy(net(images), data.targets[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    assert torch.equal(weights(made), nn.utils.parameters_to_vector(net.parameters()))
    assert watch.losses == dict(enumerate(losses, start=1))
    sizes = torch.tensor([10.0, 10, 10, 10, 5])
    assert watch.epochs[0]["train/loss"] == pytest.approx(float(torch.tensor(losses[:5]) @ sizes) / 45, rel=1e-6)


def test_validation_scores_the_model_in_evaluation_mode() -> None:
    made, watch = trainer()
    made.fit()
    made.model.eval()
    data = source(20)
    logits = made.model(data.tensors["image"].float() / 255)
    assert watch.epochs[-1]["val/loss"] == pytest.approx(F.cross_entropy(logits, data.targets).item(), rel=1e-6)
    assert watch.epochs[-1]["val/accuracy"] == int((logits.argmax(1) == data.targets).sum()) / 20


def test_a_batch_in_parts_is_the_batch_to_rounding() -> None:
    whole, parts = trainer(batch_size=20)[0], trainer(batch_size=20, replicas=4)[0]
    whole.fit()
    parts.fit()
    assert parts.cursor.step == whole.cursor.step == 6  # 45 images: the last step of an epoch has 5, in two parts
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-5, atol=1e-6)
    assert not torch.equal(weights(parts), weights(whole)), "rounding tells them apart"
    assert parts.result == pytest.approx(whole.result, rel=1e-5)


@pytest.mark.parametrize(
    "loss", [{"weight": torch.tensor([0.1, 5.0])}, {"ignore_index": 1}], ids=["weights", "ignored"]
)
@pytest.mark.parametrize("replicas", [None, 2])
def test_the_training_loss_is_that_of_the_whole_epoch_where_classes_weigh(
    loss: dict[str, Any], replicas: int | None
) -> None:
    criterion = nn.CrossEntropyLoss(**loss)
    made, watch = trainer(lr=0.0, train=44, loss=criterion, replicas=replicas)  # the last batch has 4 images
    made.fit()
    data = source(44)
    logits, targets = made.model(data.tensors["image"].float() / 255), data.targets
    for metrics in watch.epochs:
        assert metrics["train/loss"] == pytest.approx(criterion(logits, targets).item(), rel=1e-5)
        assert metrics["train/accuracy"] == pytest.approx(int((logits.argmax(1) == targets).sum()) / 44)
        assert metrics["train/nll"] == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)


def test_one_seed_gives_identical_weights_and_another_does_not() -> None:
    runs = [trainer(network_seed=n, data_seed=d)[0] for n, d in ((0, 0), (0, 0), (1, 0), (0, 1))]
    for run in runs:
        run.fit()
    first, same, other_network, other_order = map(weights, runs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other_network)
    assert not torch.equal(first, other_order)


def test_clipping_bounds_the_step() -> None:
    made, _ = trainer(lr=1.0, steps=1, clip_norm=1e-3)
    before = weights(made)
    made.fit()
    assert float((weights(made) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_average_of_weights_is_exponential() -> None:
    made, _ = trainer(ema=0.8)
    seen: list[Tensor] = []
    made.callbacks = {"seen": type("Seen", (Callback,), {"on_step_end": lambda _, t: seen.append(weights(t))})()}
    made.fit()
    average = seen[0]
    for count, step in enumerate(seen[1:], start=1):
        keep = min(0.8, (1 + count) / (10 + count))
        average = keep * average + (1 - keep) * step
    kept = nn.utils.parameters_to_vector(made.eval_model.parameters())
    torch.testing.assert_close(kept, average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(kept, weights(made), atol=1e-4)


def test_steps_end_a_run_within_an_epoch() -> None:
    made, watch = trainer(steps=7, schedule=Cosine())
    made.fit()
    assert watch.rates == pytest.approx([0.1 * Cosine().factor(step, 7, 5) for step in range(7)])
    assert (made.cursor.step, made.extent.last_epoch, sorted(watch.losses)) == (7, 2, list(range(1, 8)))
    assert "val/loss" in watch.epochs[-1]


def test_validation_every_n_epochs_and_after_the_last() -> None:
    for every, expected in ((2, [False, True, False, True, True]), (3, [False, False, True, False, True])):
        made, watch = trainer(epochs=5, validate_every=every)
        made.fit()
        assert ["val/loss" in metrics for metrics in watch.epochs] == expected


def test_early_stopping_counts_validations_without_a_better_one() -> None:
    made, watch = trainer(epochs=30, lr=1e-9, patience=3)
    made.fit()
    assert watch.improved == [True, False, False, False]
    assert made.cursor.best_epoch == 1


@pytest.mark.parametrize(("monitor", "better"), [("val/loss", min), ("val/accuracy", max)])
def test_the_monitored_metric_chooses_the_best_epoch(monitor: str, better: Any) -> None:
    made, watch = trainer(epochs=6, lr=0.5, monitor=monitor)
    made.fit()
    values = [metrics[monitor] for metrics in watch.epochs]
    assert made.cursor.best == better(values)
    assert made.cursor.best_epoch == values.index(better(values)) + 1
    assert made.cursor.best_metrics == watch.epochs[made.cursor.best_epoch - 1]


def test_an_unknown_metric_to_monitor_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.monitor=val/acc: no such metric; did you mean 'val/accuracy'"):
        trainer(monitor="val/acc")


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_a_loss_that_is_no_number_names_its_step(log_every: int) -> None:
    made, watch = trainer(lr=1e38, log_every=log_every)
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in step 2 \(epoch 1\) at learning rate 1e"):
        made.fit()
    assert all(map(math.isfinite, watch.losses.values()))
    assert not watch.epochs  # so no checkpoint of it was written


def test_a_validation_that_is_no_number_names_its_step_and_ends_the_run_before_it_is_judged() -> None:
    class Overflow(Classification):
        def evaluate(self, net: Net, batch: Batch) -> Forward:
            return Forward(torch.tensor(math.inf), super().evaluate(net, batch).outputs)

    made, watch = trainer()
    made.task = Overflow(nn.CrossEntropyLoss(), 2)
    message = (
        "^val/loss is inf after step 5: the weights have diverged; try a smaller optimizer.lr, or trainer.clip_norm=1$"
    )
    with pytest.raises(DivergedError, match=message) as caught:
        made.fit()
    assert caught.value.step == 5
    assert not watch.epochs


def test_only_losses_must_be_finite() -> None:
    fine = {"accuracy": [math.nan, math.inf], "critic_loss": [1.0, 2.0]}
    check_steps(fine, 8, 2, 0.1)
    check_scores({"val/r2": math.nan, "val/loss": 1.0}, 9)
    for loss in (math.nan, math.inf, -math.inf):
        with pytest.raises(DivergedError, match=rf"^train/critic_loss is {loss} in step 9 \(epoch 2\) at") as caught:
            check_steps({**fine, "critic_loss": [1.0, loss]}, 8, 2, 0.1)
        assert caught.value.step == 8


@pytest.mark.parametrize("replicas", [None, 4])
def test_a_batch_is_scored_in_as_many_parts_as_it_is_trained_in(replicas: int | None) -> None:
    sizes: list[int] = []

    class Watched(Classification):
        def evaluate(self, net: Net, batch: Batch) -> Forward:
            sizes.append(size(batch))
            return super().evaluate(net, batch)

    made, _ = trainer(epochs=1, batch_size=8, val=8, replicas=replicas)
    made.task = Watched(nn.CrossEntropyLoss(), 2)
    made.fit()
    assert sizes == ([8, 8, 8, 4] if replicas is None else [2] * (4 + 4 + 4 + 2))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains_close_to_full(precision: str) -> None:
    (low, lossy), (full, exact) = trainer(precision=precision, epochs=20), trainer(epochs=20)
    low.fit()
    full.fit()
    assert not torch.equal(weights(low), weights(full))
    assert weights(low).dtype == torch.float32
    # fp16 leaves out the first few steps, until the scale of the gradients fits.
    assert lossy.epochs[-1]["train/loss"] == pytest.approx(exact.epochs[-1]["train/loss"], rel=0.3)
    assert exact.epochs[-1]["train/loss"] < 0.5 * exact.epochs[0]["train/loss"]


def test_a_last_batch_of_one_example_is_refused_where_batch_norm_cannot_learn_from_it() -> None:
    made, _ = trainer(train=45)
    norm = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    made.model.network, data = norm, made.data
    before, state = {name: value.clone() for name, value in norm.state_dict().items()}, torch.get_rng_state()
    for batch_size, is_refused in ((44, True), (45, False), (43, False), (1, True)):
        phase = Phase(made.model, replace(data, train=replace(data.train, batch_size=batch_size)), made.phase.step)
        if is_refused:
            expected = f"^dataset.batch_size={batch_size}: one of the 45 training examples is left over"
            with pytest.raises(UserError, match=expected):
                check_last_batch(phase)
        else:
            check_last_batch(phase)
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)
