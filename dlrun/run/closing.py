"""The last lines of a command on a terminal: how to go on. No torch here."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dlrun import console, paths
from dlrun.command.verbs import VERBS
from dlrun.config import saved
from dlrun.config.saved import quoted
from dlrun.interrupt import Interrupted

CLASSIFIERS = ("Classification", "Adversarial", "Certified", "Perceptron")
"""The tasks whose runs can be explained and attacked."""
PICTURES = ("figures/curves.png", "predictions.png", "contact_sheet.png", "curve.png", "examples.png")
"""What to look at first, of what there is."""


def say(verb: str, folder: Path) -> None:
    """Print on a terminal what to look at, and what to type next.

    Args:
        verb: the command that has ended.
        folder: of its run or sweep.
    """
    if not console.is_live() or console.outer():  # what comes next is the next part
        return
    folder = Path(os.path.relpath(folder))
    for picture in PICTURES:
        if (folder / picture).is_file():
            console.say(f"look at:    {folder / picture}")
            break
    for name, command in zip(itertools.chain(["next:"], itertools.repeat("")), following(verb, folder), strict=False):
        console.say(f"{name:<11} {command}")


def following(verb: str, folder: Path) -> list[str]:
    """The command lines that suggest themselves after a training or a sweep; none after others."""
    if verb not in VERBS or not VERBS[verb].trains:
        return []
    is_sweep = (folder / "sweep.yaml").is_file()
    is_last = paths.newest() in (folder, paths.best_job(folder))
    run = "last" if is_last else typed(paths.best_job(folder) or folder)
    board = f"dlrun tensorboard {typed(folder)}" if is_sweep else "dlrun tensorboard"
    return [*(f"dlrun {line.format(run)}" for line in reading(paths.best_job(folder) or folder)), board]


def reading(run: Path) -> list[str]:
    """The verbs that can read a training of this kind; ``{}`` stands for the run."""
    config = saved.load(run)
    if not str(config.task.get("_target_")).endswith(CLASSIFIERS):
        return []
    if config.dataset.get("image_size") is None or config.dataset.get("shape") is not None:
        return ["evaluate run={}"]
    return ["explain run={}", "attack run={}", "predict run={} input=photo.jpg"]


def typed(folder: Path) -> str:
    """A folder as it is typed."""
    text = str(folder)
    return text if all(letter.isalnum() or letter in "_./+-" for letter in text) else quoted(text)


@contextmanager
def telling(verb: str, folder: Callable[[], Path | None]) -> Iterator[None]:
    """An interruption meanwhile says where the run is, and how it goes on.

    Args:
        verb: the command.
        folder: where its run or sweep is, if it is there.
    """
    try:
        yield
    except Interrupted as error:
        place = folder()
        if place is not None and place.is_dir():
            error.args = (f"interrupted; {how(verb, Path(os.path.relpath(place)))}",)
        raise


def how(verb: str, folder: Path) -> str:
    """How an interrupted run or sweep goes on.

    Example:
        >>> how("train", Path("runs/a"))
        'dlrun train run=runs/a goes on'
    """
    if (folder / "sweep.yaml").is_file():
        return f"the same command with hydra.sweep.dir={typed(folder)} goes on"
    if VERBS[verb].continues:
        return f"dlrun {verb} run={typed(folder)} goes on"
    return f"what there is lies in {folder}"
