"""The help texts. They are read off the config files, so that they cannot differ from them."""

from __future__ import annotations

import re
from contextlib import suppress

from dlrun import __version__
from dlrun.config import shipped
from dlrun.errors import UserError, suggest

TYPE_CHECKING = False  # as typing's own, which takes a moment to import
if TYPE_CHECKING:
    from dlrun.config import described

CONFIG_DIR = ("--config-dir", "-cd")
TENSORBOARD = """Start TensorBoard on the folder of the runs, and print its address; Ctrl-C ends it.

  dlrun tensorboard                  all runs
  dlrun tensorboard last             the newest one; or a folder, such as that of a sweep
  dlrun tensorboard --port 7007      TensorBoard's own flags"""


def overview() -> str:
    """What ``dlrun --help`` prints: the verbs, a line each, and where to go from there."""
    verbs = "\n".join(f"  {name:<10} {purpose(name)}" for name in shipped.verbs())
    return f"""dlrun {__version__}: deep learning experiments on images, driven by YAML configs.

usage: dlrun VERB [key=value ...]

{verbs}

  dlrun train                                      train LeNet on the embedded digits
  dlrun train model=lenet dataset=mnist            choose from the groups
  dlrun train -m optimizer.lr=0.1,0.01             sweep: one run for each value, one table
  dlrun evaluate run=last                          test the newest run again
  dlrun tensorboard                                look at all of it

  dlrun VERB --help                                the verb's groups, choices and keys
  dlrun VERB --help trainer                        what the keys of a group mean
  dlrun VERB --cfg job                             its whole config
  eval "$(dlrun completion bash)"                  complete words with TAB; also zsh and fish"""


def purpose(verb: str) -> str:
    """The first sentence of the verb's config file."""
    return shipped.header(verb)[0]


def verb(name: str, arguments: list[str]) -> str:
    """What ``dlrun VERB --help`` prints: purpose, examples, groups with their choices, top-level keys."""
    from dlrun import paths
    from dlrun.config import described

    own = value_after(arguments, CONFIG_DIR)
    groups, keys = [], []
    for group, default in described.defaults(name).items():
        found = re.sub(r"\$\{(\w+)\}", lambda name: name[1].upper(), default)
        chosen = "" if default == "null" else f" (default {found}{'' if found == default else ', if there is one'})"
        groups.append(f"  {group:<11} {', '.join(sorted(described.choices(group, own))) or '(none yet)'}{chosen}")
    for file in (name, "_base"):
        for key in described.keys(paths.configs() / f"{file}.yaml"):
            if "." not in key.name and key.comment:
                default = f" (default {key.value})" if key.value else ""
                keys.append(f"  {key.name:<11} {key.comment}{default}")
    lines = "\n".join(shipped.header(name))
    return f"""{lines}

Groups, chosen with GROUP=CHOICE:
{chr(10).join(groups)}

Keys, set with KEY=VALUE:
{chr(10).join(keys)}
  GROUP.KEY   a setting of a choice, such as optimizer.lr=0.01; see them with --help GROUP, or --help GROUP=CHOICE

Hydra's flags:
  -m, --multirun       run every combination of comma-separated values
  --cfg job            print the composed config and stop; a part of it with --package trainer
  --config-dir DIR     take further choices from DIR, such as DIR/model/mine.yaml
  --info               show where each part of the config comes from
  hydra.run.dir=DIR    the run's folder; hydra.sweep.dir=DIR for a sweep"""


def section(verb: str, topic: str, arguments: list[str]) -> str:
    """What ``dlrun VERB --help TOPIC`` prints: the keys of a group's choice, or of a section, and what they mean.

    Args:
        verb: the command.
        topic: ``trainer``, ``model=cnn``, or a section of the verb's own such as ``unfreeze``.
        arguments: of the command line, for its ``--config-dir``.

    Raises:
        UserError: the verb has no such group or section.
    """
    from dlrun import paths
    from dlrun.config import described

    own = value_after(arguments, CONFIG_DIR)
    defaults = described.defaults(verb)
    group, _, choice = topic.partition("=")
    of_verb = list(described.keys(paths.configs() / f"{verb}.yaml"))
    if group not in defaults:
        of_base = list(described.keys(paths.configs() / "_base.yaml"))
        keys = [key for key in [*of_verb, *of_base] if key.name == group or key.name.startswith(f"{group}.")]
        keys = keys or _named(group, verb, own)
        if not keys:
            sections = {key.name.split(".")[0] for key in of_verb} | set(defaults)
            raise UserError(f"--help {topic}: no such group or key of dlrun {verb}; {suggest(group, sections)}")
        return _table(keys)
    files = described.choices(group, own)
    chosen = choice or (defaults[group] if defaults[group] in files else next(iter(sorted(files)), ""))
    if chosen not in files:
        raise UserError(f"--help {topic}: no such choice; {suggest(chosen, files)}")
    if group in ("experiment", "lesson") and not choice:
        return f"{group}: {', '.join(sorted(files))}"
    if group == "experiment":
        return about(choice)
    values = {key.name: key.value for key in of_verb if key.value}
    keys = [key._replace(name=f"{group}.{key.name}") for key in described.of_choice(files[chosen]).values()]
    keys = [key._replace(value=values.get(key.name, key.value)) for key in keys]
    keys = keys or list(described.keys(files[chosen]))  # of other sections, as a recipe has them
    others = ", ".join(sorted({*files} - {chosen}))
    title = f"{group}={chosen}" + (f"; other choices: {others}" if others else "")
    if group == "lesson" and files[chosen].parent == paths.configs() / group:
        title = about(chosen, group)
    return f"{title}\n\n{_table(keys)}"


def _named(name: str, verb: str, config_dir: str | None) -> list[described.Key]:
    """The keys within a verb's groups that have a name, dotted or its last part, of the choices made by default."""
    from dlrun.config import described

    found = []
    for group, choice in described.defaults(verb).items():
        file = described.choices(group, config_dir).get(choice)
        for key in described.of_choice(file).values() if file else ():
            whole = f"{group}.{key.name}"
            if name in (whole, key.name.rpartition(".")[2]):
                found.append(key._replace(name=whole))
    return found


def about(name: str, group: str = "experiment") -> str:
    """What the file of an experiment, or of a lesson, says of it."""
    from dlrun.experiment import header

    found = header.read(name, group)
    return "\n".join([f"{found.choice}: {found.title}", *(f"{key}: {text}" for key, text in found.header.items())])


def experiments() -> str:
    """What ``dlrun reproduce`` alone prints: the experiments with their costs, and how to run some or all."""
    from dlrun.experiment import header

    found = [header.read(name) for name in header.names()]
    rows = [(each.name, each.header.get("Cost", "").split(";")[0], each.title) for each in found]
    name, cost, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"  {row[0]:<{name}}  {row[1]:<{cost}}  {row[2]}" for row in rows]
    return "\n".join([
        f"{len(found)} experiments, each with what it takes on a laptop; nothing was started.",
        "",
        *lines,
        "",
        "  dlrun reproduce xor 'perceptron*'   those of these names",
        "  dlrun reproduce embedded=true       those that need no data from outside",
        "  dlrun reproduce lessons=true        the lessons, which dlrun lesson lists",
        "  dlrun reproduce all=true            all of them; it takes hours",
    ])  # fmt: skip


def lessons() -> str:
    """What ``dlrun lesson`` alone prints: the lessons, and how to run one or all."""
    from dlrun.experiment import header

    found = [header.read(name, "lesson") for name in header.names("lesson")]
    return "\n".join([
        f"{len(found)} lessons, each exact and short; nothing was started.",
        "",
        *(f"  {each.name:<20} {each.title}" for each in found),
        "",
        "  dlrun lesson NAME                   its numbers on the terminal, its pictures in a folder",
        "  dlrun lesson --help lesson=NAME     what to look at, and its options",
        "  dlrun reproduce lessons=true        all of them, what they claim beside what comes out",
    ])  # fmt: skip


def topic(word: str, arguments: list[str]) -> str:
    """What ``dlrun help WORD`` prints: the help of a verb, of a choice, or of a group as the first verb has it.

    Raises:
        UserError: there is no such verb or group.
    """
    from dlrun.config import described
    from dlrun.config.vocabulary import Vocabulary

    if word == "tensorboard":
        return TENSORBOARD
    if word in shipped.verbs():
        return section(word, arguments[0], arguments) if arguments else verb(word, [])
    group = word.partition("=")[0]
    if group not in described.defaults("train"):
        with suppress(UserError):
            return section("train", word, arguments)
    having = [name for name in shipped.verbs() if group in described.defaults(name)]
    if not having and (places := Vocabulary("train").places(word)):
        return "\n\n".join(section("train", place, arguments) for place in places)
    if not having:
        known = {*shipped.verbs(), *(group for name in shipped.verbs() for group in described.defaults(name))}
        raise UserError(f"help {word}: no such verb or group; {suggest(word, known)}")
    return section("train" if "train" in having else having[0], word, arguments)


def _table(keys: list[described.Key]) -> str:
    """Keys with their defaults and comments, in columns."""
    shown = [key for key in keys if key.value or key.comment]
    wide = max((len(f"{key.name}={key.value}") for key in shown if len(key.value) < 30), default=0)
    return "\n".join(f"  {f'{key.name}={key.value}'.rstrip('='):<{wide}}  {key.comment}".rstrip() for key in shown)


def value_after(arguments: list[str], flags: tuple[str, ...]) -> str | None:
    """The value of a command-line flag, given as ``flag value`` or ``flag=value``."""
    for position, argument in enumerate(arguments):
        if argument in flags and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(tuple(f"{flag}=" for flag in flags)):
            return argument.split("=", 1)[1]
    return None
