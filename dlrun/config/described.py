"""The keys of the config files with their comments, read off the text: YAML's readers drop what explains a key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dlrun import paths

LINE = re.compile(r"(?P<indent> *)(?P<name>[\w/]+):(?: +(?P<value>[^#\s].*?))?(?: +# (?P<comment>.*))?")
DEFAULT = re.compile(r"  - (?:optional |override )?([a-z]+): (\S+)")
BASES = re.compile(r"^defaults: \[(.*)\]", re.M)
WIDEST = 40
"""The column of comments, at most."""
GLOBAL = "# @package _global_"
"""How a file begins whose keys are those of the whole config."""
NO_KEYS = ("defaults", "hydra")
"""Entries at the top of a file that are Hydra's."""


class Key(NamedTuple):
    """A key of a config file."""

    name: str
    """Dotted, within the file."""
    value: str
    """As it stands there; empty for a section."""
    comment: str


def keys(file: Path) -> Iterator[Key]:
    """The keys of a config file, in its order, by their places in it."""
    sections: list[tuple[int, str]] = []
    for line in file.read_text().splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            continue
        indent = len(found["indent"])
        sections = [each for each in sections if each[0] < indent] + [(indent, found["name"])]
        if sections[0][1] not in NO_KEYS:
            name = ".".join(part for _, part in sections)
            yield Key(name, found["value"] or "", found["comment"] or "")


def defaults(verb: str) -> dict[str, str]:
    """The groups of a verb with what each is by default; ``null`` for nothing."""
    lines = (paths.configs() / f"{verb}.yaml").read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := DEFAULT.fullmatch(line))}


def folders(config_dir: str | None) -> list[Path]:
    """Where configs lie: the program's own, and those of the user."""
    return [paths.configs(), *([Path(config_dir)] if config_dir else [])]


def choices(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """The choices of a group by name, with their files; the user's own take the place of others."""
    return {
        name.removesuffix(".yaml"): folder / group / name
        for folder in folders(config_dir)
        if (folder / group).is_dir()
        for name in sorted(os.listdir(folder / group))
        if name.endswith(".yaml") and name[0] != "_"
    }


def of_choice(file: Path) -> dict[str, Key]:
    """The keys of a choice by name, with those of the files that it builds on."""
    bases = BASES.search(file.read_text())
    below = [name.strip() for name in bases[1].split(",")] if bases else []
    found: dict[str, Key] = {}
    for name in [name for name in below if name != "_self_"]:
        base = next((each for each in (file.parent, paths.configs() / file.parent.name)
                     if (each / f"{name}.yaml").is_file()), None)  # fmt: skip
        found |= of_choice(base / f"{name}.yaml") if base else {}
    for key in _of_group(file):
        comment = key.comment or (found[key.name].comment if key.name in found else "")
        found[key.name] = key._replace(comment=comment)
    return found


def _of_group(file: Path) -> Iterator[Key]:
    """The keys of a choice by their places in the group's section; a file may say those of others too."""
    section = f"{file.parent.name}." if file.read_text().startswith(GLOBAL) else ""
    for key in keys(file):
        if key.name.startswith(section):
            yield key._replace(name=key.name.removeprefix(section))


def comments(verb: str, chosen: Mapping[str, str], config_dir: str | None = None) -> dict[str, str]:
    """What explains the keys of a verb's config, by dotted key.

    Args:
        verb: the command.
        chosen: by group the choice.
        config_dir: a folder with more choices.
    """
    files: list[tuple[str, Sequence[Key]]] = []
    for group, choice in chosen.items():
        file = choices(group, config_dir).get(choice)
        files += [(f"{group}.", list(of_choice(file).values()))] if file else []
    files += [("", list(keys(paths.configs() / f"{name}.yaml"))) for name in ("_base", verb)]
    return {prefix + key.name: key.comment for prefix, found in files for key in found if key.comment}


def commented(text: str, explained: Mapping[str, str], package: str = "") -> str:
    """YAML with a comment behind each key that has one.

    Args:
        text: as OmegaConf writes it.
        explained: comments by dotted key.
        package: the dotted key of the section that the text shows.
    """
    sections: list[tuple[int, str]] = []
    shown: list[tuple[str, str]] = []
    for line in text.splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            shown.append((line, ""))
            continue
        indent = len(found["indent"])
        sections = [each for each in sections if each[0] < indent] + [(indent, found["name"])]
        name = ".".join([package] * bool(package) + [part for _, part in sections])
        shown.append((line, explained.get(name, "")))
    width = min(max((len(line) for line, comment in shown if comment), default=0), WIDEST)
    return "\n".join(f"{line:<{width}}  # {comment}" if comment else line for line, comment in shown)
