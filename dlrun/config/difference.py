"""How two configs differ, and in which keys they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

MAY_CHANGE = (
    "run",
    "name",
    "weights",
    "trust",
    "sweep",
    "expect",
    "trainer.epochs",
    "trainer.steps",
    "trainer.device",
    "trainer.log_every",
    "callback",
    "logger",
    "dataset.root",
    "dataset.source.root",
    "dataset.workers",
    "dataset.memory_budget",
    "cache",
)
"""The keys (and all below them) that do not change what a run that continues does with its data."""
COUNTED = ("num_classes", "shape", "image_size", "resize_size", "channels", "mean", "std")
"""The keys that may be null in a command and are filled in from the data or the weights."""


def differences(was: Any, now: Any, apart_from: Sequence[str] = ()) -> list[str]:
    """In words, every key in which two configs differ, but for those that may change and those below ``apart_from``."""
    old, new = flat(was), flat(now)
    free = (*MAY_CHANGE, *apart_from)
    return [
        f"{key} (was {old.get(key)}, is {new.get(key)})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and not any(key == other or key.startswith(f"{other}.") for other in free)
        and not (new.get(key) is None and key.split(".")[-1] in COUNTED)
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
