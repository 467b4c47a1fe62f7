"""The verbs as functions.

Words and values mean what they mean on the command line: ``train("model=mlp", seed=1)`` is ``dlrun train model=mlp
seed=1``, and goes through the same code.
"""

from __future__ import annotations

from pathlib import Path

from dlrun import paths
from dlrun.api import call as calls
from dlrun.api.run import Run
from dlrun.api.sweep import Sweep
from dlrun.config import shipped
from dlrun.errors import UserError, suggest


def train(*overrides: str, **keys: object) -> Run:
    """Train a model, as ``dlrun train`` does.

    Args:
        overrides: words of the command line, such as ``"model=lenet"``.
        keys: the same by key, for values of Python; dotted keys as ``**{"optimizer.lr": 0.1}``.

    Returns:
        The run, ended. An exception leaves its folder behind, to be continued with ``train(run=folder)``.

    Raises:
        UserError: the config is wrong.
        RunError: the training failed.
        KeyboardInterrupt: it was stopped, and saved.
    """
    return call("train", *overrides, **keys)


def finetune(*overrides: str, **keys: object) -> Run:
    """Fine-tune a pretrained model, as ``dlrun finetune`` does; see :func:`train`."""
    return call("finetune", *overrides, **keys)


def call(verb: str, *overrides: str, **keys: object) -> Run:
    """Run any verb, such as ``"evaluate"``; see :func:`train`."""
    if verb not in shipped.verbs():
        raise UserError(f"{verb}: no such verb; {suggest(verb, shipped.verbs())}")
    return Run(calls.perform(verb, calls.line(overrides, keys)))


def sweep(*overrides: str, verb: str = "train", **keys: object) -> Sweep:
    """Run a verb for every combination of values, as ``dlrun train -m`` does.

    Args:
        overrides: words of the command line, such as ``"optimizer.lr=0.1,0.01"``.
        verb: what to run.
        keys: the same by key: ``**{"optimizer.lr": [0.1, 0.01]}``, ``seed=range(3)``. For a single value that is a list
            itself write a list of one list.

    Returns:
        The sweep, ended; a job that failed is a row of its table.

    Raises:
        UserError: the config is wrong.
    """
    return Sweep(calls.perform(verb, ["-m", *calls.line(overrides, keys, sweeping=True)]))


def open(folder: str | Path = "last") -> Run | Sweep:
    """Open the folder of a run or of a sweep; ``last`` is the newest run with a checkpoint.

    Raises:
        UserError: it is none.
    """
    path = Path(folder)
    if (path / "sweep.yaml").is_file():
        return Sweep(path)
    return Run(paths.find_run(str(folder)))
