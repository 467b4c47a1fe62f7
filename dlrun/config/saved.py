"""The config of an earlier run, and how its sections become choices of a new command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import MISSING, DictConfig, OmegaConf

from dlrun import paths
from dlrun.command.verbs import TRAINING, VERBS
from dlrun.config import trust
from dlrun.config.difference import flat
from dlrun.errors import UserError

OF_RUN = "of_run"
"""What a section of a run is called among the choices of its group."""
OF_ONES_OWN = ("dlrun.dataset.image_folder.load", "dlrun.dataset.mask_folder.load", "dlrun.dataset.table.load")
"""Sources that read what a user has put into ``dataset.root``."""
RETIRED = ("dlrun.callback.metrics_csv.MetricsCsv", "dlrun.callback.figures.Figures")
"""Callbacks of earlier versions whose work is now done without them."""


def load(run: Path) -> DictConfig:
    """The config of a run, as this version of dlrun would have written it.

    Raises:
        UserError: it is not YAML, or no config of a run.
    """
    try:
        config = OmegaConf.load(run / "config.yaml")
    except Exception as error:  # of several libraries
        raise UserError(f"run={run}: config.yaml cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(config, DictConfig) or not {"verb", "name"} <= config.keys():
        raise UserError(f"run={run}: config.yaml is not the config of a run")
    callbacks = config.get("callback") or {}
    for name in [name for name, node in callbacks.items() if node is not None and node.get("_target_") in RETIRED]:
        del callbacks[name]
    bring_up_to_date(config)
    return config


def bring_up_to_date(config: DictConfig) -> None:
    """Give what the config of an earlier version says its name and place of today, and what it had no word for.

    What was ``trainer.accumulate``, so many batches a step, are the replicas of one batch.
    """
    loss, model, task, trainer = (config.get(name) for name in ("loss", "model", "task", "trainer"))
    if isinstance(loss, DictConfig) and loss.get("_target_") == "torch.nn.CrossEntropyLoss":
        loss["_target_"] = "dlrun.loss.cross_entropy.cross_entropy"
    if isinstance(model, DictConfig):
        if "batch_norm" in model:
            model.norm = "batch" if model.pop("batch_norm") else "none"
        if str(model.get("_target_")).rpartition(".")[2] in ("LeNet", "MnistCNN", "UNet") and "dropout" not in model:
            model.dropout = 0.0
    if isinstance(task, DictConfig) and str(task.get("_target_")).endswith(".GAN"):
        task.setdefault("r1", 0.0)
    if isinstance(trainer, DictConfig):
        count = trainer.pop("accumulate", 1)
        if count > 1:
            config.dataset.batch_size *= count
        trainer.setdefault("replicas", count if count > 1 else None)
        for key, value in {"devices": 1, "sync_batch_norm": False, "shard": False}.items():
            trainer.setdefault(key, value)


def noted(run: Path, key: str, default: Any) -> Any:
    """What a run's result.json has under a key; the default where it has not, or cannot be read."""
    try:
        return json.loads((run / "result.json").read_text()).get(key, default)
    except (FileNotFoundError, ValueError, AttributeError):
        return default


def may_follow(saved: DictConfig, overrides: Sequence[str]) -> bool:
    """Whether a run whose data is gone may look for it in ``DLRUN_DATA``, as the run comes from another machine.

    Public data is known by its name. A folder of images that the command line named is not: another one in its place
    would be scored without a word.
    """
    by_name = OmegaConf.select(saved, "dataset.source._target_") not in OF_ONES_OWN
    given = any(text.startswith("dataset.root=") for text in overrides)
    return not Path(saved.dataset.root).exists() and (by_name or not given)


def find_data(saved: DictConfig, run: Path) -> None:
    """Let the config of a run name its data where it is now, in place; what followed ``dataset.root`` does so again."""
    refer(saved, choices(run, saved))
    if "DLRUN_DATA" in os.environ and may_follow(saved, noted(run, "overrides", [])):
        saved.dataset.root = "${oc.env:DLRUN_DATA}"


def choices(run: Path, config: DictConfig) -> dict[str, str]:
    """By group what was chosen for a run, such as ``lenet`` for ``model``.

    Runs of earlier versions did not note it: there it is guessed from the run's name and the sections' targets.
    """
    model, _, dataset = str(config.name).partition("-")
    named = {"model": model, "dataset": dataset}
    chosen: Mapping[str, str] = noted(run, "choices", {})
    found = {}
    for group in [group for group in TRAINING if isinstance(config.get(group), DictConfig)]:
        target = str(config[group].get("_target_") or "default").rpartition(".")[2]
        known = (paths.configs() / group / f"{named.get(group)}.yaml").is_file()
        found[group] = chosen.get(group) or (named[group] if known else target)
    return found


@dataclass(frozen=True)
class Reopened:
    """What ``run=DIR`` adds to a command line.

    Args:
        overrides: in Hydra's grammar.
        choices: the names that the groups had in the run, for those that come from it.
        run: the folder of the run; None where none is named.
    """

    overrides: Sequence[str] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    run: Path | None = None


def reopen(verb: str, given: Mapping[str, Override], config_dir: str | None) -> Reopened:
    """Offer the config of the run named by ``run=DIR`` as the choice ``of_run`` in its groups, and choose it.

    So ``dlrun evaluate run=DIR dataset.root=ELSEWHERE`` composes like any other config. A group that the command line
    chooses itself (``dataset=kmnist``) keeps its choice. ``dlrun train run=DIR`` goes on in the folder itself.

    Args:
        verb: the command.
        given: the overrides of the command line by key.
        config_dir: the value of ``--config-dir``.

    Raises:
        UserError: there is no such run, or its config names code that the user has not said to trust.
    """
    entry = VERBS[verb]
    where = given["run"].value() if "run" in given and entry.takes else None
    if where is None:
        return Reopened()
    if not isinstance(where, (str, int, float)):
        raise UserError(f"{given['run'].input_line}: expected the folder of one earlier run, or 'last'")
    run = paths.find_run(str(where))
    saved = load(run)
    named = trusted(given, config_dir)
    trust.check_names(OmegaConf.to_container(saved), run, named)
    names = choices(run, saved)
    find_data(saved, run)
    values = {"name": saved.name}
    if entry.trains:
        values |= own_values(verb, saved)
    else:
        saved.trainer.device, saved.trainer.devices = "auto", 1
    if entry.continues:
        values["hydra.run.dir"] = str(run)
    chosen = [key for key in values if key not in given and key.split(".")[0] not in given]
    overrides = [f"{key}={quoted(values[key])}" for key in chosen]
    overrides.append(f"trust=[{','.join(named)}]")
    groups = groups_of(verb)
    taken = {}
    for section in (section for section in entry.takes if section in saved):
        if section in groups and section not in given:
            taken[section] = names.get(section, "")
            overrides.append(f"{section}={OF_RUN}")
        elif section not in groups and saved[section] and not any(key.split(".")[0] == section for key in given):
            overrides.append(f"+{section}={OF_RUN}")
        else:
            continue
        ConfigStore.instance().store(group=section, name=OF_RUN, node=saved[section])
    return Reopened(overrides, taken, run)


def refer(saved: DictConfig, names: Mapping[str, str]) -> None:
    """Make values that a group's file takes from elsewhere in the group follow it again, where they still agree.

    A saved config is resolved: ``dataset.root=ELSEWHERE`` would change nothing, as ``dataset.source.root`` is what is
    read. What a model takes from its dataset stays as it was: it belongs to the weights. A size that is null was not
    known yet when the run was killed, and follows whatever it followed.

    Args:
        saved: the config of a run; changed.
        names: by group what was chosen.
    """
    for group, name in names.items():
        for key, value in references(group, name).items():
            now = OmegaConf.select(saved, f"{group}.{key}", default=MISSING)
            within = value.startswith(f"${{{group}.")
            if now is None or (within and now == OmegaConf.select(saved, value[2:-1], default=None)):
                OmegaConf.update(saved, f"{group}.{key}", value)


def references(group: str, name: str) -> dict[str, str]:
    """The keys of a choice, and of those that it builds on, whose value is another of the config: ``${group.key}``."""
    file = paths.configs() / group / f"{name}.yaml"
    if not file.is_file():
        return {}
    node = OmegaConf.load(file)
    assert isinstance(node, DictConfig)
    below = [entry for entry in node.get("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    found = {key: value for base in below for key, value in references(group, base).items()}
    for key, value in flat(OmegaConf.to_container(node)).items():
        if isinstance(value, str) and re.fullmatch(r"\$\{[\w.]+\}", value):
            found[key] = value
    return found


def groups_of(verb: str) -> set[str]:
    """The groups that a verb's own file has a default for."""
    own = OmegaConf.load(paths.configs() / f"{verb}.yaml")
    return {str(key).split()[-1] for entry in own.defaults if isinstance(entry, DictConfig) for key in entry}


def trusted(given: Mapping[str, Override], config_dir: str | None) -> list[str]:
    """The modules whose code a reopened run may call, by ``trust=[...]`` or the configs of ``--config-dir``."""
    # A user who points to configs of their own means the code that these name.
    texts = [file.read_text() for file in Path(config_dir).rglob("*.yaml")] if config_dir else []
    own = [name.split(".")[0] for text in texts for name in re.findall(r"_target_:\s*([\w.]+)", text)]
    value = given["trust"].value() if "trust" in given else []
    return sorted({*own, *map(str, value if isinstance(value, list) else [value])})


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
