"""A run of a network in parts: it ends as one process does, is stopped and killed, and goes on in one piece."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
import torch._dynamo  # so that the children of a fork need not import it, nor what follows
from torch import Tensor

import dlrun.command.train
import dlrun.training.sharded_step  # noqa: F401
from tests.processes import ended, start, struck
from tests.run.test_processes import output, result, saved

pytestmark = pytest.mark.slow
COMMAND = (
    *("train", "model=lenet", "dataset.image_size=12", "dataset.batch_size=70", "dataset.augment.mixup=0.4"),
    *("trainer.epochs=2", "trainer.clip_norm=1", "trainer.ema=0.9", "callback.checkpoint.every_steps=5"),
    *("callback.tensorboard.images=0", "callback.curves=null", "hydra.run.dir=run"),
)
"""Of 1,294 training examples 34 are left for a last batch, of 144 to validate 4, of 359 to test 9."""
SHARD = (*COMMAND, "trainer.shard=true")


def weights(run: Path) -> dict[str, Tensor]:
    """Of the last step and of the best epoch."""
    files = {name: torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True) for name in ("last", "best")}
    return {f"{name} {key}": value for name, state in files.items() for key, value in state["model"].items()}


def assert_end_alike(run: Path, other: Path) -> None:
    torch.testing.assert_close(weights(run), weights(other), atol=1e-5, rtol=0)
    found, wanted = result(run)["metrics"], result(other)["metrics"]
    assert found == pytest.approx(wanted, abs=1e-5)
    assert found["test/accuracy"] == wanted["test/accuracy"]


def completed(command: tuple[str, ...], folder: Path, count: int) -> None:
    assert ended(start(command, folder, count)) == [0] * count, (folder / "output.txt").read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    completed((*COMMAND, "callback.tensorboard.graph=false"), folder, 1)
    return folder / "run"


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in parts on two processes."""
    folder = tmp_path_factory.mktemp("sharded")
    completed(SHARD, folder, 2)
    return folder / "run"


def test_it_ends_as_one_process_does(alone: Path, sharded: Path) -> None:
    assert_end_alike(sharded, alone)
    assert (sharded.parent / "output.txt").read_text().count("best epoch") == 1


def test_it_is_evaluated_and_attacked_as_any_other(alone: Path, sharded: Path, tmp_path: Path) -> None:
    for verb, more in (("evaluate", ()), ("attack", ("attack=fgsm", "check=0", "limit=40"))):
        for name, run, count in ((f"{verb}1", alone, 1), (f"{verb}2", sharded, 2)):
            completed((verb, f"run={run}", *more, f"hydra.run.dir={name}"), tmp_path, count)
        assert result(tmp_path / f"{verb}2")["metrics"] == pytest.approx(
            result(tmp_path / f"{verb}1")["metrics"], abs=1e-5
        )


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_other_and_the_run_goes_on(victim: int, alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    statuses, seconds = struck(start(SHARD, tmp_path, 2), victim, signal.SIGKILL, saved(run))
    assert statuses[victim] == -signal.SIGKILL
    assert seconds < 15
    if victim:
        lost = "dlrun: another process of this run has ended; the same command goes on from the last checkpoint"
        assert output(tmp_path) == [lost]
        completed(COMMAND, tmp_path, 1)
    else:
        completed(SHARD, tmp_path, 3)
    assert_end_alike(run, alone)


def test_one_that_goes_on_with_as_many_processes_ends_with_the_same_bits(sharded: Path, tmp_path: Path) -> None:
    statuses, _ = struck(start(SHARD, tmp_path, 2), 1, signal.SIGTERM, saved(tmp_path / "run"))
    assert statuses[0] == 128 + signal.SIGTERM
    assert result(tmp_path / "run")["status"] == "interrupted"
    completed(SHARD, tmp_path, 2)
    found, wanted = weights(tmp_path / "run"), weights(sharded)
    assert [name for name, value in wanted.items() if not torch.equal(found[name], value)] == []


def test_a_divergence_is_told_once(tmp_path: Path) -> None:
    command = [word for word in SHARD if not word.startswith(("trainer.ema", "trainer.clip_norm"))]
    statuses = ended(start([*command, "optimizer.lr=1e30"], tmp_path, 2))
    assert statuses[0] == 1
    (line,) = output(tmp_path)
    assert "train/loss is" in line


def test_what_cannot_be_in_parts_is_refused_by_one_line(tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        statuses = ended(start((*SHARD, *words), tmp_path, 2))
        assert statuses == [2, 0], "the other one has heard of it"
        return output(tmp_path)[-1]

    assert "task=Adversarial needs the network in one piece" in refused("task=adversarial", "attack=fgsm")
    assert "callback.checkpoint=Checkpoint: reads the network" in refused("callback.checkpoint.keep=2")
