"""Configs that cannot be written to: what is learned later makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf


def updated(config: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """A new, read-only config with these dotted keys set; references to them follow.

    Args:
        config: any config; it stays as it is.
        values: what takes the place of the value or section under each key.
    """
    made = writable(config)
    for key, value in values.items():
        OmegaConf.update(made, key, value, merge=False, force_add=True)
    return frozen(made)


def writable(config: DictConfig) -> DictConfig:
    """A copy that can be written to, new keys too."""
    made = config.copy()
    OmegaConf.set_readonly(made, False)
    OmegaConf.set_struct(made, False)
    return made


def frozen(config: DictConfig) -> DictConfig:
    """The config itself, made read-only; a key that it does not have is an error."""
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config, True)
    return config
