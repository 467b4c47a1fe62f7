"""Exceptions of Hydra and OmegaConf as lines that help."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig

from dlrun import paths
from dlrun.config import saved
from dlrun.config.compose import Request, hydra_of
from dlrun.config.vocabulary import Vocabulary
from dlrun.errors import nearest, sentence, suggest


def lines(error: Exception, request: Request | None) -> list[str]:
    """Lines for an exception, with the choices or the nearest spelling where it names none.

    Args:
        error: what was raised.
        request: the command line; None where it could not be parsed.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if not group:
            own = "experiment=NAME, or a choice of --config-dir DIR, such as DIR/model/NAME.yaml"
            return [f"--config-name={choice}: no such file beside the verbs'; expected {own}"]
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
    if isinstance(error, ConfigCompositionException) and request is not None:
        found = unknown_keys(request) or several_values(request)
        if found:
            return found
    return [" ".join((str(error) or f"not understood by Hydra ({type(error).__name__})").split("\n")[0].split())]


def several_values(request: Request) -> list[str]:
    """A line for every override with several values, where no sweep was asked for."""
    parsed = OverridesParser.create().parse_overrides(list(request.typed))
    groups = saved.groups_of(request.verb)
    swept = [] if request.flags.multirun else [one for one in parsed if one.is_sweep_override()]
    found = []
    for one in swept:
        command = f"dlrun {request.verb} -m {shlex.quote(str(one.input_line))}"
        other = "" if one.key_or_group in groups else _as_list(one)
        found.append(f"{one.input_line}: several values; expected -m for a run of each: {command}{other}")
    return found


def _as_list(override: Override) -> str:
    """How one value that is a list is written, where an override can mean one."""
    text = str(override.input_line).partition("=")[2]
    return f"; or [{text}] for one value that is a list" if override.is_choice_sweep() and "(" not in text else ""


def unknown_keys(request: Request) -> list[str]:
    """A line for every override on the command line whose key does not exist."""
    own = request.flags.config_dir
    folders = [paths.configs(), *([Path(own).absolute()] if own else [])]
    parsed = OverridesParser.create().parse_overrides(list(request.typed))
    changed = [one for one in parsed if one.type == OverrideType.CHANGE and one.package is None]
    groups = {one.key_or_group for one in changed if any((folder / one.key_or_group).is_dir() for folder in folders)}
    choices = [str(one.input_line) for one in changed if one.key_or_group in groups and not one.is_sweep_override()]
    try:
        with hydra_of(own) as hydra:
            config = hydra.compose_config(request.verb, choices, RunMode.RUN)
    except HydraException:  # it is the choices that are wrong
        return []
    found, words = [], Vocabulary(request.verb, own)
    words.choose(request.typed)
    for one in changed:
        if one.is_hydra_override() or one.key_or_group in groups:
            continue
        parts = one.key_or_group.split(".")
        node: Any = config
        for depth, part in enumerate(parts):
            if not isinstance(node, DictConfig) or part not in node:
                known = [str(name) for name in node if name != "hydra"] if isinstance(node, DictConfig) else []
                mistyped = nearest(part, known) is not None
                hint = None if mistyped else words.hint(one.key_or_group, str(one.input_line).partition("=")[2])
                found.append(f"{one.input_line}: no such key; {hint or suggest(part, known)}")
                break
            if depth + 1 < len(parts):  # the value itself may refer to a job that is not there yet
                node = node[part]
    return found
