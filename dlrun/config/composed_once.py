"""The configs of a sweep's jobs, composed once: Hydra does it twice, to check that all can be, and to start each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

MOST = 100
"""Configs that wait for their jobs; each takes about a megabyte."""


def compose_once(sweeper: Any, loader: Any) -> None:
    """Keep what a sweeper composes as it checks its jobs, for a launcher that starts them in this process.

    Args:
        sweeper: Hydra's, before it begins.
        loader: of configs, the launcher's and the sweeper's.
    """
    kept: dict[tuple[str, ...], DictConfig] = {}
    load = loader.load_sweep_config

    def check(batch: Sequence[Sequence[str]]) -> None:
        for overrides in batch:
            config = load(master_config=sweeper.config, sweep_overrides=list(overrides))
            if len(kept) < MOST:
                kept[tuple(overrides)] = config

    def start(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        config = kept.pop(tuple(sweep_overrides), None)
        return load(master_config, sweep_overrides) if config is None else config

    sweeper.validate_batch_is_legal, loader.load_sweep_config = check, start
