"""The help texts. They are read off the config files, so that they cannot differ from them."""

from __future__ import annotations

import re
from pathlib import Path

from dlrun import __version__, paths

CONFIG_DIR = ("--config-dir", "-cd")


def overview() -> str:
    """What ``dlrun --help`` prints: the verbs, a line each, and where to go from there."""
    verbs = "\n".join(f"  {name:<10} {purpose(name)}" for name in paths.verbs())
    return f"""dlrun {__version__}: deep learning experiments on images, driven by YAML configs.

usage: dlrun VERB [key=value ...]

{verbs}

  dlrun train                                      train LeNet on the embedded digits
  dlrun train model=lenet dataset=mnist            choose from the groups
  dlrun train -m optimizer.lr=0.1,0.01             sweep: one run for each value, one table
  dlrun evaluate run=last                          test the newest run again
  tensorboard --logdir runs                        look at all of it

dlrun VERB --help shows the verb's groups, choices and keys; dlrun VERB --cfg job prints its whole config."""


def purpose(verb: str) -> str:
    """The first sentence of the verb's config file."""
    return _header(verb)[0]


def verb(name: str, arguments: list[str]) -> str:
    """What ``dlrun VERB --help`` prints: purpose, examples, groups with their choices, top-level keys."""
    own = value_after(arguments, CONFIG_DIR)
    folders = [paths.configs(), *([Path(own)] if own else [])]
    text = (paths.configs() / f"{name}.yaml").read_text()
    groups, keys = [], []
    for group, default in re.findall(r"^  - (?:optional |override )?([a-z]+): (\S+)", text, re.M):
        choices = {file.stem for folder in folders for file in (folder / group).glob("[!_]*.yaml")}
        chosen = "" if default == "null" else f" (default {default})"
        groups.append(f"  {group:<11} {', '.join(sorted(choices)) or '(none yet)'}{chosen}")
    shared = (paths.configs() / "_base.yaml").read_text()
    for key, value, comment in re.findall(r"^([a-z_]+): (.*?)  +# (.*)$", text + "\n" + shared, re.M):
        keys.append(f"  {key:<11} {comment}" + (f" (default {value})" if value else ""))
    lines = "\n".join(_header(name))
    return f"""{lines}

Groups, chosen with GROUP=CHOICE:
{chr(10).join(groups)}

Keys, set with KEY=VALUE:
{chr(10).join(keys)}
  GROUP.KEY   a setting of a choice, such as optimizer.lr=0.01; see it with --cfg job --package GROUP

Hydra's flags:
  -m, --multirun       run every combination of comma-separated values
  --cfg job            print the composed config and stop
  --config-dir DIR     take further choices from DIR, such as DIR/model/mine.yaml
  --info               show where each part of the config comes from
  hydra.run.dir=DIR    the run's folder; hydra.sweep.dir=DIR for a sweep"""


def _header(verb: str) -> list[str]:
    """The lines of the comment that opens a verb's config file, without their marks."""
    lines = []
    for line in (paths.configs() / f"{verb}.yaml").read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def value_after(arguments: list[str], flags: tuple[str, ...]) -> str | None:
    """The value of a command-line flag, given as ``flag value`` or ``flag=value``."""
    for position, argument in enumerate(arguments):
        if argument in flags and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(tuple(f"{flag}=" for flag in flags)):
            return argument.split("=", 1)[1]
    return None
