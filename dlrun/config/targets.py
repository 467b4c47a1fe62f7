"""Every ``_target_`` of a config imports and takes its arguments: checked before anything is made or loaded."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from dlrun.config import schema
from dlrun.errors import UserError, suggest
from dlrun.logger.logger import Logger

HYDRA_KEYS = ("_target_", "_args_", "_convert_", "_partial_", "_recursive_")
"""What ``instantiate`` reads itself and gives no target."""


def check_targets(config: DictConfig) -> None:
    """Import every ``_target_`` of the config and bind its arguments, before anything is made or loaded.

    Raises:
        UserError: a line for each target that does not import, and each argument that it does not take.
    """
    faults = [fault for key, node in targets(config) for fault in _target_faults(key, node)]
    if faults:
        raise UserError("\n".join(faults))


def targets(node: Any, key: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every part of a config that has a ``_target_``, with its dotted key."""
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        yield key, node
    for name in map(str, node):
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            yield from targets(node[name], f"{key}.{name}".lstrip("."))


def _target_faults(key: str, node: DictConfig) -> Iterator[str]:
    try:
        target = get_object(node._target_)
        signature = inspect.signature(target)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error.args[0]).split()) if error.args else type(error).__name__
        yield f"{key}._target_={node._target_}: cannot be imported ({reason})"
        return
    if inspect.isclass(target) and issubclass(target, Logger) and (missing := target.missing()):
        yield missing
    parameters = signature.parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    plain: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    for name in map(str, node):
        if name in HYDRA_KEYS:
            continue
        if name not in parameters:
            if not takes_any or name.startswith("_"):
                known = [known for known in ("_target_", *parameters) if known not in ("self", "params", "loss")]
                yield f"{key}.{name}: {node._target_} takes no such argument; {suggest(name, known)}"
        elif name in hints:
            value = plain[name]
            if value is not None or not OmegaConf.is_interpolation(node, name):  # else a size not yet counted
                yield from _type_faults(f"{key}.{name}", value, hints[name])


def _type_faults(key: str, value: Any, hint: Any) -> Iterator[str]:
    """Faults of an argument against its annotation, where pydantic can check that."""
    if isinstance(value, dict):
        return
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False))
        adapter.validate_json(schema.as_json(value), strict=True)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return
    except ValidationError as error:
        fault = error.errors()[0]  # of a union, one member's complaint says enough
        places = [f".{part}" for part in fault["loc"] if isinstance(part, int)]
        yield schema.describe(key + "".join(places), fault)
