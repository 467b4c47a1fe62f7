"""The configs that come with the program. The first help reads them, so nothing here takes a moment to import."""

from __future__ import annotations

import os


def configs() -> str:
    """The folder of the YAML configs: inside the package in a wheel, beside it in a clone."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    packed = os.path.join(package, "configs")
    return packed if os.path.isdir(packed) else os.path.join(os.path.dirname(package), "configs")


def verbs() -> list[str]:
    """The names of all verbs: each is a YAML file at the top of the configs folder."""
    names = (name.removesuffix(".yaml") for name in os.listdir(configs()) if name.endswith(".yaml"))
    return sorted(name for name in names if "a" <= name[0] <= "z")


def header(verb: str) -> list[str]:
    """The lines of the comment that opens a verb's config file, without their marks."""
    lines = []
    with open(os.path.join(configs(), f"{verb}.yaml"), encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            lines.append(line.rstrip("\n").removeprefix("#").removeprefix(" "))
    return lines
