"""What dlrun adds to Hydra's composition: resolvers, the config of an earlier run, and errors that help."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dlrun import paths, schema
from dlrun.errors import UserError, suggest

# The sections that a later verb takes from the run that it reads.
RUN_SECTIONS = ("model", "dataset", "task", "loss", "trainer")


def fresh(path: str) -> str:
    """Make the folder, or the same with -2, -3, ... where it is taken: two runs of one second never share it."""
    for number in itertools.count(1):
        folder = Path(path if number == 1 else f"{path}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return str(folder)
    raise AssertionError


def job_name(overrides: list[str]) -> str:
    """The folder of a sweep's job: its overrides, in characters that need no quoting in a shell."""
    name = "_".join(sorted(overrides))
    return re.sub(r"[^\w.,+-]+", "-", name)[:200]


OmegaConf.register_new_resolver("fresh", fresh, use_cache=True, replace=True)
OmegaConf.register_new_resolver("job_name", job_name, replace=True)


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


def overrides_of_run(arguments: list[str]) -> list[str]:
    """Offer the config of the run named by ``run=DIR`` as the choice ``of_run`` in its groups, and choose it.

    So ``dlrun evaluate run=DIR dataset.root=ELSEWHERE`` composes like any other config. A group that the arguments
    choose themselves (``dataset=kmnist``) keeps their choice.

    Returns:
        The overrides to add to the arguments.
    """
    given = dict(argument.split("=", 1) for argument in arguments if re.match(r"\w+=", argument))
    if given.get("run", "null") == "null":
        return []
    run = paths.find_run(given["run"].strip("'\""))
    saved = OmegaConf.load(run / "config.yaml")
    assert isinstance(saved, DictConfig)
    if not Path(saved.dataset.root).is_dir():  # the run comes from another machine or folder
        saved.dataset.root = "${oc.env:DLRUN_DATA,data}"
    saved.trainer.device = "auto"
    overrides = [] if "name" in given else [f"name='{saved.name}'"]
    for group in RUN_SECTIONS:
        if group not in given:
            ConfigStore.instance().store(group=group, name="of_run", node=saved[group])
            overrides.append(f"{group}=of_run")
    return overrides


def faults(error: Exception, verb: str) -> list[str]:
    """Lines for an exception of Hydra or OmegaConf: with the choices, or the nearest spelling, where it names none."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        choices = [name for name in error.options or [] if not name.startswith("_")]
        return [f"{group}={choice}: no such choice; {suggest(choice, choices)}"]
    if isinstance(error, ConfigCompositionException):
        unknown = unknown_keys(verb)
        if unknown:
            return unknown
    return [" ".join(str(error).split("\n")[0].split())]


def unknown_keys(verb: str) -> list[str]:
    """A line for every override of this command line whose key does not exist."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    loader = hydra.config_loader
    arguments = [argument for argument in sys.argv[1:] if re.match(r"[\w./@]+=", argument)]
    overrides = OverridesParser.create(loader).parse_overrides(arguments)
    chosen = [o for o in overrides if isinstance(o.key_or_group, str) and loader.group_exists(o.key_or_group)]
    config = loader.load_configuration(
        config_name=verb,
        overrides=[o.input_line for o in chosen if o.input_line and not o.is_sweep_override()],
        run_mode=RunMode.MULTIRUN,
    )
    lines = []
    for override in overrides:
        if override not in chosen:
            node: Any = config
            for part in override.key_or_group.split("."):
                if not isinstance(node, DictConfig):
                    lines.append(f"{override.key_or_group}: no such key; {part} would be inside a plain value")
                    break
                if part not in node:
                    known = [str(key) for key in node if key != "hydra"]
                    lines.append(f"{override.input_line}: no such key; {suggest(part, known)}")
                    break
                node = node[part]
    return lines
