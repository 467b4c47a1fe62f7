"""A call from Python as the command line that it stands for, and run as that."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path

from dlrun import cli
from dlrun.config.saved import quoted
from dlrun.errors import RunError, UserError
from dlrun.interrupt import Interrupted
from dlrun.run.folder import read_result

PLAIN = re.compile(r"[\w./+:@-]+")
"""Texts that Hydra takes as they stand."""


def line(overrides: tuple[str, ...], keys: Mapping[str, object], sweeping: bool = False) -> list[str]:
    """The words of a command line.

    Args:
        overrides: words as they are typed.
        keys: values by key; with ``sweeping`` a list, tuple or range is one value for each job.
        sweeping: whether several jobs are asked for.

    Example:
        >>> line(("model=mlp",), {"optimizer.lr": [0.1, 0.01], "seed": range(2)}, sweeping=True)
        ['model=mlp', 'optimizer.lr=0.1,0.01', 'seed=0,1']
    """
    words = []
    for key, value in keys.items():
        if sweeping and isinstance(value, (list, tuple, range)):
            words.append(f"{key}={','.join(map(text, value))}")
        else:
            words.append(f"{key}={text(value)}")
    return [*overrides, *words]


def text(value: object) -> str:
    """A value in Hydra's grammar; a text that needs no quotes has none, and means what it would on a command line.

    Example:
        >>> text({"a": [None, True, "x y"]})
        "{a:[null,True,'x y']}"
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ",".join(map(text, value)) + "]"
    if isinstance(value, (str, Path)) and PLAIN.fullmatch(str(value)):
        return str(value)
    return quoted(value)


def perform(verb: str, words: list[str]) -> Path:
    """Run a command line in this process; the folder of its run or sweep.

    Raises:
        UserError: the command line or its config is wrong, or it runs nothing.
        RunError: the run failed, or what it expects is not met.
        KeyboardInterrupt: it was interrupted; the run is saved, and can go on.
    """
    try:
        status, folder = cli.perform(verb, words)
    except Interrupted as error:
        if error.signum != signal.SIGINT:
            raise
        raise KeyboardInterrupt(str(error)) from None
    if folder is None:
        raise UserError(f"dlrun {verb} {' '.join(words)}: runs nothing; expected a command line that does")
    if status and not (folder / "sweep.yaml").exists():  # of several processes, of which the first has said why
        raise RunError(read_result(folder).get("error", "the processes of the run have failed"))
    return folder
