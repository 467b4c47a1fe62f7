"""Hydra composes a config some thousand times in these tests: what it does anew each time, it does once here.

What is composed stays the same; every command line that a test starts as a process of its own composes without this.
"""

from __future__ import annotations

import io
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra._internal import defaults_list
from omegaconf import OmegaConf, _utils, base, grammar_parser


def hasten() -> None:
    """Parse each YAML text and each reference once, and let Hydra map choices only where a default refers to one."""
    load_anew, map_choices = OmegaConf.load, defaults_list._create_interpolation_map
    parsed: dict[str, bytes] = {}

    def load(file: Any) -> Any:
        if isinstance(file, str | Path):
            with open(file, encoding="utf-8") as opened:
                return load(opened)
        text = file.read()
        if text not in parsed:
            try:
                parsed[text] = pickle.dumps(load_anew(io.StringIO(text)))
            except (OSError, yaml.YAMLError):  # which name the file
                file.seek(0)
                return load_anew(file)
        return pickle.loads(parsed[text])

    def mapped(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        refers = any(default.is_interpolation() for default in defaults if not default.is_self())
        return map_choices(overrides, defaults, self_added) if refers else None

    OmegaConf.load = staticmethod(load)  # type: ignore[method-assign, assignment]
    defaults_list._create_interpolation_map = mapped  # type: ignore[assignment]
    base.parse = _utils.parse = cache(grammar_parser.parse)  # type: ignore[attr-defined]
