"""The words that a verb knows: its keys, groups and choices, and those of other tools for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from dlrun import paths
from dlrun.config import described, shipped, words

MOST = 4
"""Keys, choices or verbs that a hint lists."""
EXPERIMENTS = ("exp", "experiment", "lesson", "name", "run")
"""What ``dlrun reproduce`` takes as bare words."""


class Vocabulary:
    """The words of a verb.

    Args:
        verb: the command.
        config_dir: a folder with more choices.
    """

    def __init__(self, verb: str, config_dir: str | None = None) -> None:
        self.verb, self.config_dir = verb, config_dir
        self.chosen = described.defaults(verb)
        self.choices = {group: described.choices(group, config_dir) for group in self.chosen}
        self.top = {*self.choices, *top_keys(verb)}

    def choose(self, arguments: Sequence[str]) -> None:
        """Take note of the choices on a command line, since keys are looked for in these first."""
        for word in arguments:
            group, _, name = word.partition("=")
            if group in self.choices:
                self.chosen[group] = self.named(group, name)[0]

    def named(self, group: str, name: str) -> tuple[str, str | None]:
        """A choice as its file is spelled, and what it is called here where the name is another tool's."""
        if name in self.choices[group]:
            return name, None
        known = {words.plain(choice): choice for choice in self.choices[group]}
        same = known.get(words.plain(name))
        theirs = words.CHOICES.get(group, {})
        last = re.split(r"[./]", name.removesuffix(".yaml"))[-1]  # of torch.optim.Adam, timm/resnet50, xor.yaml
        other = theirs.get(words.plain(name)) or known.get(words.plain(last)) or theirs.get(words.plain(last))
        return same or name, None if same else other

    def has(self, group: str, name: str) -> bool:
        """Whether a group has such a choice, those that are not listed included; null is the choice of none."""
        files = (folder / group / f"{name}.yaml" for folder in described.folders(self.config_dir))
        return name in ("null", "") or name in self.choices[group] or any(file.is_file() for file in files)

    def places(self, name: str) -> list[str]:
        """The groups that a word is a choice of, as overrides; of several with commas, all must be."""
        found = []
        for group, choices in self.choices.items():
            named = [self.named(group, each)[0] for each in name.split(",")]
            if all(each in choices for each in named):
                found.append(f"{group}={','.join(named)}")
        return found

    def is_key(self, word: str) -> bool:
        """Whether a word is a key, at the top or further down."""
        return word in self.top or bool(self._below.get(words.plain(word)))

    def hint(self, key: str, value: str) -> str | None:
        """What to type in the place of a key that does not exist; None where nobody knows.

        Args:
            key: dotted, as it was typed.
            value: what was typed with it; may be empty.
        """
        section, _, last = key.rpartition(".")
        name = words.plain(last)
        if self.verb == "reproduce" and name.rstrip("s") in EXPERIMENTS:
            every = "lessons=true" if name.startswith("lesson") else "all=true"
            return f"expected dlrun reproduce {every if value in ('*', 'all') else value or 'NAME'}"
        if self.verb == "lesson" and name in ("all", "list"):
            return f"expected dlrun {'reproduce lessons=true' if name == 'all' else 'lesson, which lists them'}"
        if name == "classes" and value.isdigit():
            name = "nclasses"
        if "." not in key and name in {words.plain(top) for top in self.top}:
            return self._with_value(next(top for top in sorted(self.top) if words.plain(top) == name) + "={}", value)
        note = words.NOTES.get(words.plain(key)) or words.NOTES.get(name)
        if note and words.plain(key) not in words.KEYS:
            return note
        text = words.KEYS.get(words.plain(key)) or words.KEYS.get(name)
        place = re.match(r"([a-z_]+)[.=]", text) if text else None
        target, _, shown = (text or "").partition("=")
        if "." in target and target.rpartition(".")[2] in self.top:  # the verb has it at the top
            return self._with_value(f"{target.rpartition('.')[2]}={shown}", value)
        if text and not self._is_off(section, target) and (place is None or place[1] in {*self.top, "hydra"}):
            return self._with_value(text, value)
        if below := {at: of for at, of in self._below.get(name, {}).items() if not self._is_off(section, at)}:
            active = {place: of for place, of in below.items() if self._is_active(place, of)}
            found = [f"{place}={value or 'VALUE'}{'' if active else self._of(place, of)}"
                     for place, of in (active or below).items()]  # fmt: skip
            return f"expected {' or '.join(found[:MOST])}"
        others = [verb for verb in shipped.verbs() if key in {*described.defaults(verb), *top_keys(verb)}]
        return f"it is a key of dlrun {', '.join(others[:MOST])}" if others else None

    def _with_value(self, text: str, value: str) -> str:
        """A text of the tables with the value that was typed."""
        group = text.removesuffix("={}")
        is_number = value == "0" and text.startswith("trainer.device")  # cuda:0
        if value.lower() in words.FALSE and not is_number and (group == "run" or "{}" not in text):
            if group.split("=")[0] in words.OFF:
                return f"expected {words.OFF[group.split('=')[0]]}"
            return "leave it out" if group == "run" else f"off by default; turned on by {text}"
        if value.lower() in words.TRUE and group not in ("run", *self.choices):
            value = ""
        if group == "name" and value in self.choices.get("experiment", ()):
            group = text = f"experiment={value}"
        if group == "trainer.devices" and value.startswith("["):
            value = f"{value.count(',') + 1}, how many; CUDA_VISIBLE_DEVICES chooses which"
        if text.startswith("run=DIR") and value in ("last", "true"):
            return "expected run=last"
        if text == "trainer.device=cuda:{}" and not value.isdigit():
            return "expected trainer.device=cuda"
        if group == "run" and value.lower() in ("", "true", "yes", "1"):
            value = "last"
        if group in self.choices and not value:
            return f"expected {group}=NAME; choose from {', '.join(sorted(self.choices[group]))}"
        if group in self.choices:
            value = self.named(group, value)[1] or self.named(group, value)[0]
        return f"expected {text.replace('{}', value or 'VALUE')}"

    @cached_property
    def _below(self) -> dict[str, dict[str, list[str]]]:
        """By last part, the keys within sections; of each the choices that have it, none for the verb's own."""
        found: dict[str, dict[str, list[str]]] = {}
        for name in (self.verb, "_base"):
            for key in described.keys(paths.configs() / f"{name}.yaml"):
                if "." in key.name and key.value[:1] not in ("", "{"):
                    found.setdefault(words.plain(key.name.rpartition(".")[2]), {})[key.name] = []
        for group, choices in self.choices.items():
            for choice, file in choices.items():
                for key in described.of_choice(file).values():
                    last = key.name.rpartition(".")[2]
                    if (
                        key.value and last != "_target_" and not key.value.endswith(f".{last}}}")
                    ):  # what repeats another key is set there
                        places = found.setdefault(words.plain(last), {})
                        places.setdefault(f"{group}.{key.name}", []).append(choice)
        return found

    def _is_off(self, section: str, key: str) -> bool:
        """Whether a key is of a group that has no choice, where another group was named: it is not what was meant."""
        return section in self.choices and self.chosen.get(key.split(".")[0]) == "null"

    def _is_active(self, place: str, choices: list[str]) -> bool:
        return not choices or self.chosen.get(place.split(".")[0]) in choices

    def _of(self, place: str, choices: list[str]) -> str:
        more = ", ..." if len(choices) > MOST else ""
        return f" (of {place.split('.')[0]}={', '.join(choices[:MOST])}{more})"


def top_keys(verb: str) -> list[str]:
    """The keys at the top of a verb's config, groups left out."""
    found = [key.name for name in (verb, "_base") for key in described.keys(paths.configs() / f"{name}.yaml")]
    return [name for name in found if "." not in name]
