"""The check of a composed config: a wrong key, type or value is refused before torch is imported."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dlrun import paths
from dlrun.command.verbs import VERBS
from dlrun.config.difference import flat
from dlrun.config.frozen import frozen, writable
from dlrun.errors import UserError, suggest
from dlrun.experiment import claims

FRACTIONS = ("eps", "step_size")
"""The keys whose numbers may be written as a fraction, such as 8/255."""
CALL = re.compile(r"\$\{\s*[\w.]+\s*:")
"""A reference that calls a resolver, such as ``${now:%H}``."""


def check(config: DictConfig) -> DictConfig:
    """Refuse a composed config with a wrong key, type or value.

    Returns:
        The config that commands work with: fractions (``8/255``) are numbers, ``dataset.num_classes`` is that of the
        chosen ``dataset.classes``, calls of resolvers (``${now:...}``) are replaced by what they give, references to
        other keys stay, and it is read-only.

    Raises:
        UserError: one line for every fault.
    """
    made = writable(config)
    unresolved = OmegaConf.to_container(made)
    assert isinstance(unresolved, dict)
    verb = unresolved.get("verb")
    if verb not in list(VERBS):
        raise UserError(f"verb={verb}: expected the verb of the command line; {suggest('', VERBS)}")
    schema = VERBS[verb].schema
    for group in ("model", "dataset", "lesson"):
        if group in schema.model_fields and unresolved.get(group) is None:
            raise UserError(f"{group}: none chosen; expected {how_to_choose(group, 'run' in unresolved)}")
    divide(made)
    chosen = OmegaConf.select(made, "dataset.classes", throw_on_resolution_failure=False)
    if isinstance(chosen, ListConfig):
        made.dataset.num_classes = len(chosen)
    if "logger" in schema.model_fields and made.get("logger") is None:
        made.logger = {}
    plain = resolved(made)
    try:
        # JSON has YAML's types, and pydantic's strict reading of it takes no string for a number.
        schema.model_validate_json(as_json(plain))
    except ValidationError as error:
        raise UserError("\n".join(_fault(fault, plain) for fault in error.errors())) from None
    if faults := [*combinations(plain), *claims.faults(plain.get("expect"))]:
        raise UserError("\n".join(faults))
    for key, value in calls(made):
        OmegaConf.update(made, key, value, merge=False)
    return frozen(made)


def how_to_choose(group: str, takes_run: bool) -> str:
    """What to type where neither a run nor the model or dataset is named."""
    if not takes_run:
        return f"{group}=NAME from the groups"
    return f"{_newest()}, run=DIR, or {group}=NAME with weights=FILE"


def _newest() -> str:
    """How to name the newest run, or to get one."""
    last = paths.newest()
    return f"run=last ({last})" if last else "dlrun train first, then run=last"


def as_json(value: Any) -> bytes:
    """A plain value as JSON to be checked; what is no UTF-8 in the name of a file, and no JSON either, as ``?``."""
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def calls(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """The dotted keys whose values call a resolver, with what these give."""
    for key, value in flat(OmegaConf.to_container(config)).items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and CALL.search(text) for text in texts):
            node = OmegaConf.select(config, key)
            given = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            if "${" not in str(given):  # a text, perhaps of the environment, and no reference
                yield key, given


def resolved(config: DictConfig, throw_on_missing: bool = True) -> dict[str, Any]:
    """The config as plain values, every reference in it resolved.

    Raises:
        UserError: a reference leads nowhere, or a value is missing.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=throw_on_missing)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def combinations(config: Any) -> list[str]:
    """A line for each pair of values that are right by themselves and cannot work together."""
    faults = per_channel(config.get("dataset") or {})
    if "trainer" not in config:
        return faults
    trainer, schedule = config["trainer"], config.get("scheduler") or {}
    epochs = math.inf if trainer["steps"] else trainer["epochs"]
    steps = trainer["steps"] or math.inf
    pairs = [
        ("scheduler.every", schedule.get("every", 0), "trainer.epochs", epochs),
        ("scheduler.warmup_epochs", schedule.get("warmup_epochs", 0), "trainer.epochs", epochs),
        ("scheduler.warmup_steps", schedule.get("warmup_steps", 0), "trainer.steps", steps),
        ("trainer.validate_every", trainer["validate_every"], "trainer.epochs", epochs),
    ]
    faults += [
        f"{key}={value}: more than {other}={bound}; expected at most as many"
        for key, value, other, bound in pairs
        if value > bound
    ]
    if trainer["sync_batch_norm"] and trainer["replicas"]:
        faults.append(
            f"trainer.sync_batch_norm=true: trainer.replicas={trainer['replicas']} are normalised each by itself;"
            " expected null"
        )
    if trainer["shard"] and VERBS[config["verb"]].trains:
        faults += unsharded(config["verb"], trainer)
    if VERBS[config["verb"]].trains and config.get("attack") and "attack" not in config["task"]:
        faults.append(f"attack={config['attack']['_target_']}: the task attacks nothing; expected task=adversarial")
    return faults


def per_channel(dataset: Mapping[str, Any]) -> list[str]:
    """A line for each list of means or deviations that has neither one value nor one for each channel."""
    channels = (dataset.get("shape") or [dataset.get("channels")])[0]
    given = {name: dataset.get(name) for name in ("mean", "std")}
    return [
        f"dataset.{name}={values}: {len(values)} values, and dataset.channels={channels}; expected one for each channel"
        for name, values in given.items()
        if values and channels and len(values) not in (1, channels)
    ]


def unsharded(verb: str, trainer: Mapping[str, Any]) -> list[str]:
    """A line for each value that needs the network in one piece."""
    if verb == "finetune":
        return ["trainer.shard=true: dlrun finetune needs the network in one piece; expected false"]
    whole = {"replicas": None, "compile": False, "channels_last": False}
    faults = [
        f"trainer.{key}={str(trainer[key]).lower()}: needs the network in one piece; with trainer.shard=true expected"
        f" {str(value).lower() if value is not None else 'null'}"
        for key, value in whole.items()
        if trainer[key]
    ]
    if trainer["precision"] == "fp16":
        faults.append("trainer.precision=fp16: with trainer.shard=true expected fp32, bf16 or auto")
    return faults


def divide(config: DictConfig) -> None:
    """Replace the texts ``a/b`` under the keys that may be fractions by their quotients, in place."""
    for key in map(str, config):
        value = None if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key) else config[key]
        if isinstance(value, DictConfig):
            divide(value)
        elif key in FRACTIONS and value is not None:
            config[key] = [_quotient(each) for each in value] if isinstance(value, ListConfig) else _quotient(value)


def _quotient(value: Any) -> Any:
    parts = re.fullmatch(r"\s*([0-9.]+)\s*/\s*([0-9.]+)\s*", value) if isinstance(value, str) else None
    try:
        return float(parts[1]) / float(parts[2]) if parts else value
    except (ValueError, ZeroDivisionError):
        return value  # refused as it stands


def _fault(fault: ErrorDetails, config: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        parent = _parent_model(VERBS[config["verb"]].schema, fault["loc"])
        return f"{key}: no such key; {suggest(str(fault['loc'][-1]), parent)}"
    if fault["type"] == "missing" and fault["loc"][-1] == "_target_":
        # Perhaps a mistyped name of a callback that exists, with a setting of it.
        *sections, name, _ = map(str, fault["loc"])
        others: Any = config
        for section in sections:
            others = others[section]
        return f"{key}: missing; expected a class or function; {suggest(name, others.keys() - {name})}"
    return describe(key, fault)


def describe(key: str, fault: ErrorDetails) -> str:
    """One line for a fault that pydantic found: the key, its value, what was expected."""
    if fault["type"] == "missing":
        return f"{key}: missing; expected a value"
    if key == "run" and fault["input"] is None:
        return f"run: none given; expected {_newest()}, or run=DIR"
    expected = fault["msg"].replace("Input should be ", "expected ").replace("String should", "should")
    if fault["type"] == "list_type":
        expected = f"expected a list, such as [{fault['input']}]"
    if fault["type"] in ("int_type", "float_type") and isinstance(fault["input"], list):
        expected += f", or -m {key}={','.join(map(str, fault['input']))} for a run of each"
    if fault["type"] in ("model_type", "model_attributes_type"):
        expected = f"a section; expected {key}.KEY=VALUE, as --help {key.split('.')[0]} lists them"
    if fault["type"] == "string_pattern_mismatch" or (fault["type"] == "string_type" and key.endswith(".device")):
        expected = "expected auto, cpu, cuda, cuda:N or mps"
    return f"{key}={json.dumps(fault['input'], default=str)}: {expected}".replace('"', "'")


def _parent_model(model: Any, location: Iterable[int | str]) -> list[str]:
    """The keys of the section in which the last part of a location was looked for."""
    *sections, _ = location
    for section in sections:
        is_dict = get_origin(model) is dict
        model = get_args(model)[1] if is_dict else model.model_fields[section].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
