"""The epochs whose weights are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlrun.callback.checkpoint import Checkpoint
from tests.training.test_boundaries import outcome, run, trainer


def kept(folder: Path, keep: int, **options: object) -> list[int]:
    made = trainer(folder, epochs=6, **options)  # type: ignore[arg-type]
    made.callbacks = {**made.callbacks, "checkpoint": Checkpoint(every_minutes=None, every_steps=2, keep=keep)}
    run(made)
    return sorted(int(file.stem.removeprefix("epoch_")) for file in (folder / "checkpoints").glob("epoch_*.pt"))


@pytest.mark.parametrize("monitor", ["val/accuracy", "val/loss"])
def test_the_best_epochs_are_kept_and_the_best_of_them_is_best(tmp_path: Path, monitor: str) -> None:
    epochs = kept(tmp_path / "run", 3, monitor=monitor)
    rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    values = [float(row[rows[0].index(monitor)]) for row in rows[1:]]
    sign = -1 if monitor == "val/accuracy" else 1
    assert epochs == sorted(sorted(range(1, 7), key=lambda epoch: (sign * values[epoch - 1], epoch))[:3])
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.pt", weights_only=True)
    same = torch.load(tmp_path / "run" / "checkpoints" / f"epoch_{best['epoch']}.pt", weights_only=True)
    assert all(torch.equal(same["model"][name], value) for name, value in best["model"].items())


def test_none_are_kept_unasked(tmp_path: Path) -> None:
    assert kept(tmp_path / "run", 0) == []


def test_a_run_in_parts_keeps_the_same(tmp_path: Path) -> None:
    for epochs in (2, 4):
        made = trainer(tmp_path / "parts", epochs=epochs, monitor="val/loss")
        made.callbacks = {**made.callbacks, "checkpoint": Checkpoint(every_minutes=None, every_steps=2, keep=2)}
        run(made)
    parts = sorted(file.name for file in (tmp_path / "parts" / "checkpoints").glob("epoch_*.pt"))
    state = torch.load(tmp_path / "parts" / "checkpoints" / "last.pt", weights_only=True)
    assert parts == sorted(f"epoch_{epoch}.pt" for epoch in state["callbacks"]["checkpoint"]["kept"])
    assert len(parts) == 2
    assert outcome(tmp_path / "parts")["cursor"]["epoch"] == 4
