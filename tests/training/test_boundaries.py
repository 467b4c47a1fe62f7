"""A run that is killed after any of its checkpoints, whichever, ends to the bit as one that was left alone."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from dlrun.callback.callback import Callback, StepLog
from dlrun.callback.checkpoint import Checkpoint
from dlrun.callback.loss_curve import LossCurve
from dlrun.compute.precision import Precision
from dlrun.dataset.augment import Augment
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.errors import RunError, UserError
from dlrun.logger.tensorboard import TensorBoard
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.cosine import Cosine
from dlrun.scheduler.plateau import Plateau
from dlrun.task.classification import Classification
from dlrun.training import checkpoint
from dlrun.training.cursor import Cursor
from dlrun.training.division import Division
from dlrun.training.options import TrainerOptions
from dlrun.training.phase import Phase, Plan
from dlrun.training.step import Step
from dlrun.training.trainer import Trainer
from tests.disks import disk
from tests.torture import points
from tests.training.test_trainer import CPU, OPTIONS, source


@pytest.fixture(autouse=True)
def _seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every event file a second of its own, as processes have: TensorBoard reads files in their names' order."""
    clock = SimpleNamespace(time=partial(next, itertools.count(1_700_000_000)))
    monkeypatch.setattr("dlrun.logger.event_file.time", clock)


class Killed(BaseException):
    """The process is gone."""


class Drawing(Callback):
    """Draws how many looks and epochs there were, by what it remembers of them."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def on_begin(self, trainer: Trainer) -> None:
        trainer.recorder.figure("begin", Figure(figsize=(1, 1)))

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        self.looks.append(sum(log.losses))

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        figure = Figure(figsize=(2, 2))
        figure.subplots().plot(self.looks)
        trainer.recorder.figure("looks", figure, trainer.cursor.epoch)

    def measure(self, trainer: Trainer) -> dict[str, float]:
        return {"test/looks": float(len(self.looks))}

    def state_dict(self) -> dict[str, Any]:
        return {"looks": list(self.looks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks = state["looks"]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, 2)
    )


def plans(options: TrainerOptions, task: Classification, phases: Sequence[int | None]) -> list[Plan]:
    torch.manual_seed(0)
    net = network()

    def loader(count: int, seed: int | None, augment: Augment | None = None) -> Loader:
        made = source(count, seed or 0)
        return Loader(made, 7, CPU, in_memory=True, workers=0, num_classes=2, seed=seed, augment=augment)

    division = Division(options.replicas, seed=3, threads=2)
    data = Data(loader(30, 1, Augment(flip=0.5, mixup=0.4)), loader(20, None), loader(20, None), ["left", "right"])

    def make(lr: float) -> Callable[[], Phase]:
        def phase() -> Phase:
            model = Normalized(net, [0.5], [0.25])
            optimizer = torch.optim.Adam(model.parameters(), lr=lr)
            return Phase(model, data, Step(task, model, {"": optimizer}, Precision("fp32", CPU), division))

        return phase

    return [Plan(make(0.02 / (place + 1)), epochs) for place, epochs in enumerate(phases)]


def trainer(
    folder: Path, phases: Sequence[int | None] = (None,), order: int = 0, every_steps: int = 1, **changes: Any
) -> Trainer:
    task = Classification(nn.CrossEntropyLoss(), 2)
    plateau = Plateau("val/loss", patience=0, threshold=0.05) if changes.pop("schedule", "") else None
    options = TrainerOptions(**(OPTIONS | {"epochs": 3, "log_every": 2} | changes))
    callbacks: dict[str, Callback] = {
        "curve": LossCurve(every=10),
        "drawing": Drawing(),
        "checkpoint": Checkpoint(every_minutes=None, every_steps=every_steps),
    }
    callbacks |= {"scheduler": plateau} if plateau else {}
    names = sorted(callbacks)
    random.Random(order).shuffle(names)
    folder.mkdir(exist_ok=True)
    return Trainer(
        plans=plans(options, task, phases),
        task=task,
        schedule=plateau or Cosine(),
        options=options,
        device=CPU,
        callbacks={name: callbacks[name] for name in names},
        recorder=Recorder(folder, [TensorBoard()], "figures"),
        folder=folder,
        division=Division(options.replicas, seed=3),
    )


def run(made: Trainer) -> None:
    state = checkpoint.newest(made.folder)
    made.open(state)
    try:
        made.fit(is_new=state is None)
    finally:
        made.recorder.close()


def outcome(folder: Path) -> dict[str, Any]:
    """All that two runs must have in common: weights, files, pixels, points of TensorBoard, the cursor."""
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    best = torch.load(folder / "checkpoints" / "best.pt", weights_only=True)
    files = [file for file in folder.rglob("*") if file.suffix in (".csv", ".png")]
    weights: dict[str, Tensor] = {**state["model"], **{f"best {name}": value for name, value in best["model"].items()}}
    return {
        **{name: value.numpy().tobytes() for name, value in weights.items()},
        **{str(file.relative_to(folder)): file.read_bytes() for file in files},
        **points(folder),
        "cursor": state["cursor"],
        "result": state["result"],
    }


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "replicas, average, rare looks": {"replicas": 3, "ema": 0.9, "log_every": 50, "validate_every": 2},
    "patience": {"epochs": 9, "patience": 1, "monitor": "train/loss"},
    "two phases": {"phases": (2, None), "epochs": 4},
    "two phases with patience": {"phases": (6, None), "epochs": 9, "patience": 1, "monitor": "train/loss"},
    "ends within an epoch": {"steps": 8},
    "a learning rate that waits for the loss": {"epochs": 6, "schedule": "plateau"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_after_every_checkpoint(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, write, writes = KINDS[kind], checkpoint.write, 0
    run(trainer(tmp_path / "whole", **options))
    whole = outcome(tmp_path / "whole")

    def killing(folder: Path, state: dict[str, Any]) -> None:
        nonlocal writes
        writes += 1
        if writes == 3 and attempts % 2:  # just before a checkpoint: files are longer than the one before says
            raise Killed
        write(folder, state)
        if writes >= 3:
            raise Killed

    monkeypatch.setattr(checkpoint, "write", killing)
    attempts = 0
    while True:
        writes, attempts = attempts % 3, attempts + 1
        try:
            run(trainer(tmp_path / "killed", order=attempts, **options))
        except Killed:
            continue
        break
    assert attempts > 5
    killed = outcome(tmp_path / "killed")
    assert [name for name in whole if whole[name] != killed.get(name)] == []
    assert whole.keys() == killed.keys()


def test_the_learning_rate_that_waits_falls_before_the_end(tmp_path: Path) -> None:
    run(trainer(tmp_path / "run", **KINDS["a learning rate that waits for the loss"]))
    rows = [row.split(",") for row in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    rates = [float(row[2]) for row in rows[1:]]
    assert rates[0] == 0.02
    assert rates[-1] < 0.02


def test_the_weights_that_are_tested_are_those_of_the_network(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", epochs=1)
    run(made)
    best = tmp_path / "run" / "checkpoints" / "best.pt"
    state = torch.load(best, weights_only=True)
    name = next(iter(state["model"]))
    del state["model"][name]
    torch.save(state, best)
    with pytest.raises(UserError, match=f"checkpoint: does not fit .*missing {name}"):
        made._test()


def test_every_write_may_fail_once(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "every_steps": 3}
    with disk() as good:
        run(trainer(tmp_path / "whole", **options))
    whole = outcome(tmp_path / "whole")
    assert good.writes > 12
    for place in range(1, good.writes + 1):
        folder = tmp_path / str(place)
        with disk(place, (errno.ENOSPC, errno.EIO)[place % 2]), pytest.raises(RunError, match="cannot be written"):
            run(trainer(folder, **options))
        run(trainer(folder, **options))
        found = outcome(folder)
        assert [name for name in whole if whole[name] != found.get(name)] == [], f"write {place}"
        assert not [file for file in folder.rglob(".*") if file.is_file()]


def test_nothing_depends_on_the_order_of_callbacks(tmp_path: Path) -> None:
    outcomes = []
    for order in range(4):
        run(trainer(tmp_path / str(order), order=order))
        outcomes.append(outcome(tmp_path / str(order)))
    assert all(one == outcomes[0] for one in outcomes[1:])


def test_a_run_extended_twice_ends_as_one_that_was_extended_without_kills(tmp_path: Path) -> None:
    for epochs in (1, 2, 3):
        run(trainer(tmp_path / "parts", epochs=epochs))
    for epochs in (1, 2, 3):
        for wish in (epochs, epochs):  # a second start finds nothing to do
            run(trainer(tmp_path / "again", epochs=wish))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "again")


def test_patience_that_ended_a_run_can_be_raised(tmp_path: Path) -> None:
    patient: dict[str, Any] = {"epochs": 9, "monitor": "train/loss"}
    run(trainer(tmp_path / "run", patience=1, **patient))
    stopped = outcome(tmp_path / "run")["cursor"]
    assert stopped["stopped"] == "patience"
    assert stopped["epoch"] < 9
    again = trainer(tmp_path / "run", patience=1, **patient)
    run(again)
    assert again.cursor.epoch == stopped["epoch"]
    run(trainer(tmp_path / "run", patience=30, **patient))
    assert outcome(tmp_path / "run")["cursor"]["epoch"] == 9


def test_patience_of_one_phase_leaves_the_next_its_own(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", phases=(6, None), epochs=9, patience=1, monitor="val/accuracy")
    made.plans = [Plan(made.plans[0].make, 6), made.plans[1]]
    run(made)
    assert made.cursor.phase == 1
    assert made.cursor.phase_epoch < 6
    assert made.cursor.epoch > made.cursor.phase_epoch


def test_three_phases_share_the_epochs_of_the_goal(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", phases=(1, 1, None), epochs=4)
    run(made)
    assert (made.cursor.phase, made.cursor.planned, made.cursor.epoch) == (2, 2, 4)
    assert not made.cursor.goes_on(made.goal)
    assert (made.extent.epochs, made.extent.last_epoch, made.extent.last_step) == (2, 4, 4 * 5)
    longer = trainer(tmp_path / "run", phases=(1, 1, None), epochs=5)
    run(longer)
    assert (longer.cursor.phase, longer.cursor.planned, longer.cursor.epoch) == (2, 2, 5)


def test_a_phase_without_epochs_is_passed_over(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", phases=(0, None), epochs=2)
    run(made)
    assert (made.cursor.phase, made.cursor.epoch, made.cursor.step, made.cursor.next) == (1, 2, 10, "follow")


def test_a_new_phase_has_not_waited_yet(tmp_path: Path) -> None:
    made = trainer(tmp_path / "run", phases=(2, None))
    made.open(None)
    made.cursor = cursor = Cursor(epoch=1, step=5, since_best=3, stopped="patience")
    made._end_phase()
    expected = {"phase": 1, "phase_epoch": 1, "phase_step": 5, "since_best": 0, "stopped": None, "planned": 2}
    assert {name: cursor.state_dict()[name] for name in expected} == expected
