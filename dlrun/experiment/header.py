"""The experiment files: what their headers say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from dlrun import paths

FIELDS = ("Source", "Look at", "Command", "Cost", "Expected")


@dataclass(frozen=True)
class Experiment:
    """A file of ``experiments/``."""

    name: str
    title: str
    """The first line of its header."""
    header: dict[str, str]
    """The text of each of :data:`FIELDS`."""
    verb: str
    """The verb that runs it: train, unless the file says another."""


def folder() -> Path:
    """Where the experiments lie."""
    return paths.configs() / "experiment"


def names() -> list[str]:
    """All experiments."""
    return sorted(file.stem for file in folder().glob("[!_]*.yaml"))


def introduction(chosen: str | Iterable[str] | None) -> str:
    """What to say before a run: what it is, what will be there to see, and what it takes.

    Args:
        chosen: the choice of the group ``experiment``, one or several; nothing is said of one's own.
    """
    lines = []
    for name in [name for name in ([chosen] if isinstance(chosen, str) else chosen or ()) if name in names()]:
        found = read(name)
        lines.append(f"experiment={name}: {found.title}")
        lines += [f"  {field}: {found.header[field]}" for field in ("Look at", "Cost") if field in found.header]
    return "\n".join(lines)


def read(name: str) -> Experiment:
    """An experiment's header; fields that it lacks are missing in ``header``."""
    text = (folder() / f"{name}.yaml").read_text()
    lines = [line.removeprefix("#").strip() for line in re.match(r"(#.*\n)*", text)[0].splitlines()]  # type: ignore[index]
    comment = "\n".join(lines[1:])
    header = {}
    for field in FIELDS:
        found = re.search(rf"^{field}: ((?:.|\n)*?)(?=\n(?:{'|'.join(FIELDS)}): |\Z)", comment, re.M)
        if found:
            header[field] = " ".join(found[1].split())
    config = OmegaConf.load(folder() / f"{name}.yaml")
    return Experiment(name, comment.split("\n")[0], header, str(OmegaConf.select(config, "verb", default="train")))
