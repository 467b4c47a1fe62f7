"""How two configs differ, but for the keys that may."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def differences(was: Any, now: Any, may_change: Sequence[str] = (), counted: Collection[str] = ()) -> list[str]:
    """In words, every key in which two configs differ.

    Args:
        was: the earlier config.
        now: the other.
        may_change: dotted keys that may differ, with all below them.
        counted: keys by their last part that may be null now: the data tells them.
    """
    old, new = flat(was), flat(now)
    return [
        f"{key} (was {old.get(key)}, is {new.get(key)})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and not any(key == other or key.startswith(f"{other}.") for other in may_change)
        and not (new.get(key) is None and key.split(".")[-1] in counted)
    ]


def flat(config: Any, key: str = "") -> dict[str, Any]:
    """The leaves of a config by dotted key; a list is a leaf."""
    if not isinstance(config, (dict, DictConfig)):
        value = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
        return {key: value}
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        leaves |= flat(value, f"{key}.{name!s}" if key else str(name))
    return leaves
