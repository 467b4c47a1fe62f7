"""What dlrun adds to Hydra's composition: resolvers, the config of an earlier run, and errors that help."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from dlrun import help, paths, schema
from dlrun.errors import UserError, suggest

# The sections that a later verb takes from the run that it reads.
RUN_SECTIONS = ("model", "dataset", "task", "loss", "trainer")
# The verbs that take its whole config, and the sections and keys that are in it besides.
WHOLE = ("train", "replay")
WHOLE_SECTIONS = (*RUN_SECTIONS, "init", "optimizer", "scheduler", "callback")
WHOLE_KEYS = ("seed", "weights")
CLAIMS = ("then", "expect")
LONGEST_NAME = 200  # of a job's folder, in characters; file systems take 255


_made: list[Path] = []


def fresh(path: str) -> str:
    """Make the folder, or the same with -2, -3, ... where it is taken: two runs of one second never share it."""
    for number in itertools.count(1):
        folder = Path(path if number == 1 else f"{path}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        _made.append(folder.absolute())
        return str(folder)
    raise AssertionError


def withdraw() -> None:
    """Remove the folders that :func:`fresh` made and that hold no run yet: the sweep was refused."""
    while _made:
        folder = _made.pop()
        if folder.is_dir() and {file.name for file in folder.iterdir()} <= {"multirun.yaml"}:
            shutil.rmtree(folder)


def job_name(overrides: list[str]) -> str:
    """The folder of a sweep's job: its overrides, in characters that need no quoting in a shell."""
    name = re.sub(r"[^\w.,+-]+", "-", "_".join(sorted(overrides)))
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


OmegaConf.register_new_resolver("fresh", fresh, use_cache=True, replace=True)
OmegaConf.register_new_resolver("job_name", job_name, replace=True)
OmegaConf.register_new_resolver("pick", lambda key, values: values[key], replace=True)


class Guard(Callback):
    """Refuses a wrong config before Hydra makes the run's folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the composed config; Hydra swallows a callback's exceptions, but not an exit."""
        HydraConfig.instance().set_config(config)  # so that ${hydra:...} resolves
        try:
            schema.check(job_config(config))
        except UserError as error:
            for line in str(error).splitlines():
                print(f"dlrun: {line}", file=sys.stderr)
            sys.exit(2)


def job_config(config: DictConfig) -> DictConfig:
    """The config without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def overrides_of_run(verb: str, arguments: list[str]) -> list[str]:
    """Offer the config of the run named by ``run=DIR`` as the choice ``of_run`` in its groups, and choose it.

    So ``dlrun evaluate run=DIR dataset.root=ELSEWHERE`` composes like any other config. A group that the arguments
    choose themselves (``dataset=kmnist``) keeps their choice. ``dlrun train run=DIR`` goes on in the folder itself.

    Returns:
        The overrides to add to the arguments.
    """
    given = dict(argument.split("=", 1) for argument in arguments if re.match(r"[\w.]+=", argument))
    if given.get("run", "null") == "null":
        return []
    run = paths.find_run(given["run"].strip("'\""))
    saved = OmegaConf.load(run / "config.yaml")
    assert isinstance(saved, DictConfig)
    if not Path(saved.dataset.root).is_dir():  # the run comes from another machine or folder
        saved.dataset.root = "${oc.env:DLRUN_DATA,data}"
    values = {"name": saved.name}
    if verb in WHOLE:
        values |= {key: saved[key] for key in WHOLE_KEYS}
    else:
        saved.trainer.device = "auto"
    if verb == "train":
        values["hydra.run.dir"] = str(run)
    overrides = [f"{key}={quoted(value)}" for key, value in values.items() if key not in given]
    for section in CLAIMS if verb == "train" else ():
        if saved.get(section) and not any(key.startswith(section) for key in given):
            ConfigStore.instance().store(group=section, name="of_run", node=saved[section])
            overrides.append(f"+{section}=of_run")
    for group in WHOLE_SECTIONS if verb in WHOLE else RUN_SECTIONS:
        if group not in given and group in saved:
            ConfigStore.instance().store(group=group, name="of_run", node=saved[group])
            overrides.append(f"{group}=of_run")
    return overrides


def quoted(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, (bool, int, float)):
        return "null" if value is None else str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def faults(error: Exception, verb: str, arguments: list[str]) -> list[str]:
    """Lines for an exception of Hydra or OmegaConf, with the choices or the nearest spelling where it names none."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        choices = [name for name in error.options or [] if not name.startswith("_")]
        return [f"{group}={choice}: no such choice; {suggest(choice, choices)}"]
    if isinstance(error, OverrideParseException):
        return [f"{error.override}: not understood; expected KEY=VALUE, with quotes around special characters"]
    if isinstance(error, ConfigCompositionException):
        unknown = unknown_keys(verb, arguments)
        if unknown:
            return unknown
    return [" ".join(str(error).split("\n")[0].split())]


def unknown_keys(verb: str, arguments: list[str]) -> list[str]:
    """A line for every override on the command line whose key does not exist."""
    own = help.value_after(arguments, help.CONFIG_DIR)
    folders = [paths.configs(), *([Path(own).absolute()] if own else [])]
    overrides = [tuple(argument.split("=", 1)) for argument in arguments if re.match(r"[\w./]+=", argument)]
    groups = {key for key, _ in overrides if any((folder / key).is_dir() for folder in folders)}
    choices = [f"{key}={value}" for key, value in overrides if key in groups and "," not in value]
    with initialize_config_dir(str(folders[0]), version_base="1.3"):
        path = [f"file://{folder}" for folder in folders[1:]]
        config = compose(verb, [*choices, f"hydra.searchpath={path}"], return_hydra_config=True)
    lines = []
    for key, value in overrides:
        if key.startswith("hydra."):  # its values refer to a job that is not there yet
            continue
        node: Any = config
        for part in () if key in groups else key.split("."):
            if not isinstance(node, DictConfig) or part not in node:
                known = [str(name) for name in node] if isinstance(node, DictConfig) else []
                known = [name for name in known if name != "hydra" and not name.startswith("_")]
                lines.append(f"{key}={value}: no such key; {suggest(part, known)}")
                break
            node = node[part]
    return lines
