"""What dlrun adds to Hydra's composition: resolvers, the config of an earlier run, and errors that help."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from dlrun import paths
from dlrun.config import help, schema, trust
from dlrun.config.difference import flat
from dlrun.errors import UserError, sentence, suggest

# The sections that a later verb takes from the run that it reads.
RUN_SECTIONS = ("model", "dataset", "task", "loss", "trainer")
# The verbs that take its whole config, and the sections that are in it besides.
WHOLE = ("train", "replay", "finetune")
WHOLE_SECTIONS = (*RUN_SECTIONS, "init", "optimizer", "scheduler", "callback", "logger", "attack")
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
        except OSError as error:
            refuse(UserError(sentence(error)))
        _made.append(folder.absolute())
        return str(folder)
    raise AssertionError


def withdraw() -> None:
    """Remove the folders that :func:`fresh` made and that hold no run yet: the sweep was refused."""
    while _made:
        folder = _made.pop()
        if folder.is_dir() and {file.name for file in folder.iterdir()} <= {"multirun.yaml", "sweep.yaml"}:
            shutil.rmtree(folder)


def job_name(overrides: list[str], constant: Collection[str] = ()) -> str:
    """The folder of a sweep's job: what it does not share with the others, in characters that need no quoting.

    Args:
        overrides: all of the job's.
        constant: the keys of those that are the same in all jobs.
    """
    own = sorted(text for text in overrides if text.split("=")[0].lstrip("+~") not in constant)
    name = re.sub(r"[^\w.,+-]+", "-", "_".join(own)) or "all"
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
            if config.sweep.dry_run:
                raise UserError("sweep.dry_run=true: no sweep; expected the flag -m")
        except UserError as error:
            refuse(error)


def refuse(error: Exception) -> NoReturn:
    """End with an error found in a resolver or a callback, whose exceptions Hydra wraps or swallows."""
    for line in str(error).splitlines():
        print(f"dlrun: {line}", file=sys.stderr)
    withdraw()
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
        # Images without a dataset are photos, and a model without one is torchvision's.
        photos = given.get("input", "null") != "null" and "dataset" not in given
        return ["dataset=imagenet"] if photos else []
    run = paths.find_run(given["run"].strip("'\""))
    saved = OmegaConf.load(run / "config.yaml")
    assert isinstance(saved, DictConfig)
    # A user who points to configs of their own means the code that these name.
    own = help.value_after(arguments, help.CONFIG_DIR)
    texts = [file.read_text() for file in Path(own).rglob("*.yaml")] if own else []
    named = [name.split(".")[0] for text in texts for name in re.findall(r"_target_:\s*([\w.]+)", text)]
    named = sorted({*named, *re.findall(r"[\w.]+", given.get("trust", ""))})
    trust.check_names(OmegaConf.to_container(saved), run, named)
    if not Path(saved.dataset.root).is_dir():  # the run comes from another machine or folder
        saved.dataset.root = "${oc.env:DLRUN_DATA,data}"
    values = {"name": saved.name}
    if verb in WHOLE:
        values |= own_values(verb, saved)
    else:
        saved.trainer.device = "auto"
    if verb in ("train", "finetune"):
        values["hydra.run.dir"] = str(run)
    chosen = [key for key in values if key not in given and key.split(".")[0] not in given]
    overrides = [f"{key}={quoted(values[key])}" for key in chosen]
    overrides.append(f"trust=[{','.join(named)}]")
    for section in CLAIMS if verb == "train" else ():
        if saved.get(section) and not any(key.startswith(section) for key in given):
            ConfigStore.instance().store(group=section, name="of_run", node=saved[section])
            overrides.append(f"+{section}=of_run")
    for group in WHOLE_SECTIONS if verb in WHOLE else RUN_SECTIONS:
        if group not in given and group in saved:
            ConfigStore.instance().store(group=group, name="of_run", node=saved[group])
            overrides.append(f"{group}=of_run")
    return overrides


def own_values(verb: str, saved: DictConfig) -> dict[str, Any]:
    """What a run has for the keys that the verb's own file sets, on top of the groups; and its seed."""
    own = OmegaConf.load(paths.configs() / f"{verb}.yaml")
    assert isinstance(own, DictConfig)
    of_run = flat(OmegaConf.to_container(saved))
    values = {}
    for key in {"seed", *flat(own)} - {"verb", "run"}:
        while key not in of_run and "." in key:  # the run may have null for a whole section
            key = key.rpartition(".")[0]
        if key in of_run:
            values[key] = of_run[key]
    return values


def quoted(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, (bool, int, float)):
        return "null" if value is None else str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(quoted, value)) + "]"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def check_flags(arguments: list[str]) -> None:
    """Refuse flags that Hydra does not know in one line, where it would print its usage.

    Raises:
        UserError: names the flag.
    """

    def fail(message: str) -> NoReturn:
        raise UserError(" ".join(message.split()) + "; see --help")

    parser = get_args_parser()
    parser.error = fail  # type: ignore[method-assign]
    parser.parse_args(arguments)


def faults(error: Exception, verb: str, arguments: list[str]) -> list[str]:
    """Lines for an exception of Hydra or OmegaConf, with the choices or the nearest spelling where it names none."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        choices = [name for name in error.options or [] if not name.startswith("_")]
        return [f"{group}={choice}: no such choice; {suggest(choice, choices)}"]
    if isinstance(error, OverrideParseException):
        what = " ".join(str(error.override).split())
        return [f"{what}: not understood; expected KEY=VALUE, with quotes around special characters"]
    if isinstance(error.__cause__, OSError):
        return [sentence(error.__cause__)]
    if isinstance(error, OSError):
        return [sentence(error)]
    if isinstance(error, InstantiationException):  # of a sweeper or launcher
        return [" ".join(str(error.__cause__ or error).split())]
    if isinstance(error, ConfigCompositionException):
        unknown = unknown_keys(verb, arguments)
        if unknown:
            return unknown
    return [" ".join((str(error) or f"not understood by Hydra ({type(error).__name__})").split("\n")[0].split())]


def unknown_keys(verb: str, arguments: list[str]) -> list[str]:
    """A line for every override on the command line whose key does not exist."""
    own = help.value_after(arguments, help.CONFIG_DIR)
    folders = [paths.configs(), *([Path(own).absolute()] if own else [])]
    overrides = [tuple(argument.split("=", 1)) for argument in arguments if re.match(r"[\w./]+=", argument)]
    groups = {key for key, _ in overrides if any((folder / key).is_dir() for folder in folders)}
    choices = [f"{key}={value}" for key, value in overrides if key in groups and "," not in value]
    try:
        with initialize_config_dir(str(folders[0]), version_base="1.3"):
            path = [f"file://{folder}" for folder in folders[1:]]
            config = compose(verb, [*choices, f"hydra.searchpath={path}"], return_hydra_config=True)
    except HydraException:  # it is the choices that are wrong
        return []
    lines = []
    for key, value in overrides:
        if key.startswith("hydra."):  # its values refer to a job that is not there yet
            continue
        parts = [] if key in groups else key.split(".")
        node: Any = config
        for depth, part in enumerate(parts):
            if not isinstance(node, DictConfig) or part not in node:
                known = [str(name) for name in node] if isinstance(node, DictConfig) else []
                known = [name for name in known if name != "hydra"]
                lines.append(f"{key}={value}: no such key; {suggest(part, known)}")
                break
            if depth + 1 < len(parts):  # the value itself may refer to a job that is not there yet
                node = node[part]
    return lines
