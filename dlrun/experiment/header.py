"""The files of experiments and of lessons: what their headers say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from dlrun import paths

FIELDS = ("Source", "Look at", "Command", "Cost", "Expected")
"""The fields of an experiment's header."""
ONLY_BY_NAME = "Only by name"
"""One more, of what runs when it is named and at no other time, such as what takes days; it says why."""
OF_LESSONS = ("Source", "Look at", "Cost")
"""The fields of a lesson's header."""
GROUPS = ("experiment", "lesson")
"""The groups whose choices have such headers."""


@dataclass(frozen=True)
class Experiment:
    """A file of ``experiments/`` or of ``configs/lesson/``."""

    name: str
    title: str
    """The first line of its header."""
    header: dict[str, str]
    """The text of each of :data:`FIELDS`, and of :data:`ONLY_BY_NAME`."""
    verb: str
    """The verb that runs it: of an experiment train, unless the file says another."""
    group: str = "experiment"

    @property
    def choice(self) -> str:
        """The override that chooses it."""
        return f"{self.group}={self.name}"


def folder(group: str = "experiment") -> Path:
    """Where the experiments lie, or the lessons."""
    return paths.configs() / group


def names(group: str = "experiment") -> list[str]:
    """All experiments, or all lessons."""
    return sorted(file.stem for file in folder(group).glob("[!_]*.yaml"))


def introduction(choices: Mapping[str, str]) -> str:
    """What to say before a run: what it is, what will be there to see, and what it takes.

    Args:
        choices: by group what was chosen, several joined by commas; nothing is said of one's own.
    """
    chosen = [(group, name) for group in GROUPS for name in choices.get(group, "").split(",")]
    lines = []
    for found in [read(name, group) for group, name in chosen if name in names(group)]:
        lines.append(f"{found.choice}: {found.title}")
        lines += [f"  {field}: {found.header[field]}" for field in ("Look at", "Cost") if field in found.header]
    return "\n".join(lines)


def read(name: str, group: str = "experiment") -> Experiment:
    """The header of an experiment, or of a lesson; fields that it lacks are missing in ``header``."""
    text = (folder(group) / f"{name}.yaml").read_text()
    lines = [line.removeprefix("#").strip() for line in re.match(r"(#.*\n)*", text)[0].splitlines()]  # type: ignore[index]
    comment = "\n".join(lines[1:])
    header = {}
    fields = (*FIELDS, ONLY_BY_NAME)
    for field in fields:
        found = re.search(rf"^{field}: ((?:.|\n)*?)(?=\n(?:{'|'.join(fields)}): |\Z)", comment, re.M)
        if found:
            header[field] = " ".join(found[1].split())
    config = OmegaConf.load(folder(group) / f"{name}.yaml")
    verb = "lesson" if group == "lesson" else str(OmegaConf.select(config, "verb", default="train"))
    return Experiment(name, comment.split("\n")[0], header, verb, group)
