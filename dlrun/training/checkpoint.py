"""The checkpoints of a run: ``last.pt``, the one before it, and the weights of the best epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlrun import console, weights
from dlrun.errors import UserError
from dlrun.training.cursor import Cursor

State = dict[str, Any]
FOLDER, LAST, PREVIOUS, BEST = "checkpoints", "last.pt", "previous.pt", "best.pt"


def write(run: Path, state: State) -> None:
    """Save the state of a training, and its best weights where they are new.

    The best weights are in ``last.pt`` too until they have a file of their own: a kill between the two loses nothing.
    """
    folder = run / FOLDER
    weights.save(state, folder / LAST, keep=folder / PREVIOUS)
    if state["best"] is not None:
        weights.save(state["best"], folder / BEST)


def newest(run: Path) -> State | None:
    """The state in a run's last whole checkpoint, or None where it has none; says so where the last is damaged."""
    for name in (LAST, PREVIOUS):
        path = run / FOLDER / name
        if path.exists():
            try:
                return upgraded(weights.load(path, "checkpoint"))
            except UserError as error:
                console.say(f"warning: {error}; looking for the one before")
    return None


def best(run: Path) -> State | None:
    """The weights of a run's best epoch, or None where it has none yet."""
    path = run / FOLDER / BEST
    weights_of_best: State | None = weights.load(path, "checkpoint")["model"] if path.exists() else None
    return weights_of_best


def take_back(run: Path, step: int) -> None:
    """Remove what was saved after so many steps or more and not validated: a later loss showed that it diverged."""
    folder = run / FOLDER

    def is_bad(file: Path) -> bool:
        cursor = Cursor()
        cursor.load_state_dict(upgraded(weights.load(file, "checkpoint"))["cursor"])
        return cursor.step >= step and not any(name.startswith("val/") for name in cursor.metrics)

    last, previous, best = (folder / name for name in (LAST, PREVIOUS, BEST))
    if not last.exists() or not is_bad(last):
        return
    last.unlink()
    if previous.exists() and is_bad(previous):
        previous.unlink()
    elif previous.exists():
        previous.replace(last)
    if best.exists() and weights.load(best, "checkpoint").get("step", 0) >= step:
        best.unlink()
        if last.exists():
            state = weights.load(last, "checkpoint")
            cursor = state["cursor"]
            weights.save(
                {"model": state["model"], "epoch": cursor["epoch"], "step": cursor["step"], "metrics": {}}, best
            )


def upgraded(state: State) -> State:
    """The state in today's form, of a checkpoint of version 0.1 too.

    Raises:
        UserError: it is no state of a training.
    """
    if "cursor" in state:
        return state
    if "progress" not in state:
        raise UserError("checkpoint: no state of a training, weights alone; expected the last.pt of a run")
    progress = state["progress"]
    stopped = {"no better validation": "patience"}.get(progress["stopped"], progress["stopped"])
    cursor = {**progress, "stopped": stopped}
    if stopped:
        cursor["next"] = "test"
    return {
        "model": state["model"],
        "step": {"optimizers": {"": state["optimizer"]}, "scaler": state["scaler"]},
        "average": state["ema"],
        "cursor": cursor,
        "pending": {"values": {}, "examples": []},
        "random": state["random"],
        "recorder": {"files": state["files"], "loggers": {}},
        "callbacks": {},
        "best": None,
        "result": {},
    }
