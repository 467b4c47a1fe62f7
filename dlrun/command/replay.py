"""``dlrun replay``: run a training again, and compare."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from dlrun import console, paths
from dlrun import weights as checkpoint
from dlrun.command import train
from dlrun.errors import RunError, UserError
from dlrun.run.folder import Run, read_result


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Train as the run did, into a new folder; returns what goes into ``result.json``.

    Raises:
        RunError: weights or metrics differ; says in which epoch first, and what differs in the environment.
    """
    if config.run is None:
        raise UserError("run: none given; expected run=DIR, the run to repeat")
    original = paths.find_run(config.run)
    result = train.main(config, run)
    found = differences(original, run.path, result["environment"])
    if found:
        raise RunError(f"differs from {original}: {'; '.join(found)}")
    console.say(f"identical to {original}: the weights, and the metrics of every epoch")
    return result


def differences(original: Path, replayed: Path, environment: dict[str, Any]) -> list[str]:
    """In words, how two runs differ; nothing where weights and metrics match to the bit."""
    found = []
    old, new = (
        checkpoint.load(path / "checkpoints" / "last.pt", "checkpoint")["model"] for path in (original, replayed)
    )
    different = [name for name in old if name not in new or not torch.equal(old[name], new[name])]
    if different:
        found.append(f"weights: {len(different)} of {len(old)} tensors")
    rows = zip(metrics(original), metrics(replayed), strict=False)
    for epoch, (then, now) in enumerate(rows, start=1):
        changed = [f"{name} {then[name]} now {now.get(name)}" for name in then if then[name] != now.get(name)]
        if changed:
            found.append(f"metrics from epoch {epoch} on: {', '.join(changed)}")
            break
    if found:
        was = read_result(original).get("environment", {})
        changes = [f"{key} {was.get(key)} now {value}" for key, value in environment.items() if was.get(key) != value]
        found.append(f"environment: {', '.join(changes) or 'the same'}")
    return found


def metrics(run: Path) -> list[dict[str, str]]:
    """The rows of a run's ``metrics.csv``."""
    with (run / "metrics.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
