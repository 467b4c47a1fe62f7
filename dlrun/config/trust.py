"""Whose code a reopened run may call: a run folder may come from a stranger.

A ``_target_`` that stands in a run's saved config must be a model, loss, dataset, ... of dlrun, torch or torchvision,
or come from a module that the user names: ``trust=[my_models]``, or ``DLRUN_TRUST=my_models,others``. What a user
writes on the command line or in a config of their own is not asked; and the runs that come of it are remembered
(:mod:`dlrun.config.trusted`), so that they open again without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from omegaconf import DictConfig

from dlrun import paths
from dlrun.config import trusted_runs
from dlrun.errors import UserError

PLAIN_COMMAND = re.compile(r"[a-z]+( [a-z][\w.]*=(\{run\}|[\w.,/\[\]-])*)*")
"""A verb that follows on a training, with settings: no flags, no code."""
LIBRARIES = ("torch.nn", "torch.optim", "torchvision.models")


def trusted(named: Collection[str]) -> tuple[str, ...]:
    """The modules whose code may be called, with those that the user names."""
    own = [f"dlrun.{group.name}" for group in paths.configs().iterdir() if group.is_dir()]
    environment = [name.strip() for name in os.environ.get("DLRUN_TRUST", "").split(",") if name.strip()]
    return (*own, *LIBRARIES, *named, *environment)


def check_names(config: Any, run: object, named: Collection[str], key: str = "") -> None:
    """Refuse a saved config that names code of other modules, or refers to something outside itself.

    A run that the user made or trusted here is not asked.

    Raises:
        UserError: says how to allow it.
    """
    if trusted_runs.remembers(run):
        return
    for place, value in _leaves(config, key):
        if isinstance(value, str) and "${" in value:
            raise UserError(f"run={run}: {place}={value}: a saved config holds no references; not opened")
        if place.split(".")[-1] == "_target_":
            _check(str(value), str(value), place, run, named)
        if place.startswith("then.") and (not PLAIN_COMMAND.fullmatch(str(value)) or "_target_" in str(value)):
            raise UserError(f"run={run}: {place}={value}: not run; expected VERB and plain settings of it")


def check_objects(config: DictConfig, run: object, named: Collection[str], groups: Collection[str]) -> None:
    """Refuse targets that lead out of a trusted module: ``torch.nn.modules.module.sys.exit`` is none of torch's.

    Args:
        config: the whole config; its targets import.
        run: where these groups come from.
        named: the modules that the user trusts.
        groups: the sections that come from the run.

    Raises:
        UserError: says how to allow it.
    """
    from hydra.utils import get_object

    if trusted_runs.remembers(run):
        return
    for group in groups:
        for place, value in _leaves(config[group], group):
            if place.split(".")[-1] == "_target_":
                try:
                    found = get_object(value)
                except Exception as error:  # whatever the import of a module raises
                    reason = " ".join(str(error).split())
                    raise UserError(f"run={run}: {place}={value}: cannot be imported ({reason})") from None
                _check(str(getattr(found, "__module__", None)), value, place, run, named)


def names_foreign_code(config: Any) -> bool:
    """Whether a config names code that a stranger's run would not be allowed to call."""
    try:
        check_names(config, "", ())
    except UserError:
        return True
    return False


def _check(module: str, value: str, place: str, run: object, named: Collection[str]) -> None:
    if not any(module == name or module.startswith(f"{name}.") for name in trusted(named)):
        top = value.split(".")[0]
        raise UserError(
            f"run={run}: {place}={value}: not run, since it is neither a part of dlrun nor of {', '.join(LIBRARIES)};"
            f" if you trust this code: trust=[{top}], or DLRUN_TRUST={top} in the environment"
        )


def _leaves(config: Any, key: str) -> Iterator[tuple[str, Any]]:
    items: Any = ()
    if isinstance(config, (dict, DictConfig)):
        items = config.items() if isinstance(config, dict) else config.items_ex(resolve=False)
    elif isinstance(config, (list, tuple)):
        items = enumerate(config)
    else:
        yield key, config
    for name, value in items:
        yield from _leaves(value, f"{key}.{name}".lstrip("."))
