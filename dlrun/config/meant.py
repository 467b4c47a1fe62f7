"""A command line as it was meant: bare words, blanks around ``=``, the case of choices; else a line on what to type.

This comes before Hydra, which is slow to import. What it does not know it leaves as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlrun.config import words
from dlrun.config.help import CONFIG_DIR, value_after
from dlrun.config.vocabulary import Vocabulary
from dlrun.errors import UserError, nearest, suggest

PLAIN = re.compile(r"[^\s{}()$='\"\\]+")
"""A value that names choices: one, or several with commas or in brackets."""
CALL = re.compile(r"[A-Z]\w*\(.*\)")
"""A value such as ``Conv2d(8, 16, 3)``: Hydra takes it in quotes alone, its own functions are in small letters."""
ALIKE = {"last": "run=last", "best": "run=last", "latest": "run=last", "all": "all=true", "onnx": "format=onnx"}
"""Bare words that are no choice and no file."""
WEIGHTS = (".pt", ".pth", ".safetensors")


def meant(verb: str, arguments: Sequence[str]) -> list[str]:
    """What follows a verb, in the grammar of Hydra.

    Raises:
        UserError: a line for each word that is a mistake, with what to type in its place.
    """
    return _Reader(Vocabulary(verb, value_after(list(arguments), CONFIG_DIR))).read(joined(arguments))


def joined(arguments: Sequence[str]) -> list[str]:
    """The words with ``key = value`` as one.

    Example:
        >>> joined(["optimizer.lr", "=", "0.1", "seed=", "3"])
        ['optimizer.lr=0.1', 'seed=3']
    """
    made: list[str] = []
    for word in arguments:
        is_value = "=" not in word and (not word.startswith("-") or word[1:2].isdigit())
        opens = bool(made) and re.fullmatch(r"[\w.@/+~]+=", made[-1]) is not None
        closes = word.startswith("=") and bool(made) and re.fullmatch(r"[\w.@/+~]+", made[-1]) is not None
        if closes or (opens and is_value):
            made[-1] += word
        else:
            made.append(word)
    return made


class _Reader:
    """Reads the words one by one; what is wrong with any of them is told at the end."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.known = vocabulary
        self.sweeps = False
        self.faults: list[str] = []

    def read(self, arguments: list[str]) -> list[str]:
        """The words as they were meant."""
        self.known.choose(arguments)
        self.sweeps = bool({"-m", "--multirun"} & {*arguments})
        made: list[str] = []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word.startswith("-"):
                made += self._flag(word, rest)
            elif "=" in word:
                made += self._override(word)
            elif word.startswith("~") or (self.known.verb == "reproduce" and word not in ALIKE):
                made.append(word)  # what is left out; the name of an experiment
            else:
                made += self._taken(self._bare(word, rest), made)
        if self.faults:
            raise UserError("\n".join(self.faults))
        return made

    def _flag(self, word: str, rest: list[str]) -> list[str]:
        """A flag of Hydra with its value, or a fault for one of another tool."""
        name, equals, value = word.partition("=")
        if name in ("-c", "--cfg") and rest and Path(rest[0]).suffix in (".yaml", ".yml"):
            name = "config"  # as other tools have it
        if name in words.FLAGS:
            return [word, *([rest.pop(0)] if words.FLAGS[name] and not equals and rest else [])]
        if not equals and rest and "=" not in rest[0] and not rest[0].startswith("-"):
            value = rest.pop(0)
        plain = name.lstrip("-").replace("-", "_")
        hint = self.known.hint(plain, value) or self.known.hint(plain.removeprefix("no_"), "false")
        if not hint and words.VERBS.get(words.plain(name), "").endswith("--help"):
            hint = f"expected {words.VERBS[words.plain(name)]}"
        shown = word if equals else f"{word} {value}".strip()
        self.faults.append(f"{shown}: no such flag; {hint or suggest(name, words.FLAGS)}")
        return []

    def _taken(self, found: list[str], before: list[str]) -> list[str]:
        """What a bare word stands for; a fault if another word before it has chosen for the same group."""
        for word in found:
            group, _, name = word.partition("=")
            for other in [one for one in before if one.startswith(f"{group}=") and one != word]:
                both = f"{group}={other.partition('=')[2]},{name}"
                one = "a folder with both" if group == "input" else "one of them"
                self.faults.append(f"{other} {word}: two for one run; expected {one}, or -m {both}")
        return found

    def _override(self, word: str) -> list[str]:
        """An override with its choice as the files spell it."""
        text, _, value = word.partition("=")
        key = text.lstrip("+~")
        if not key:
            self.faults.append(f"{word}: expected KEY=VALUE")
            return []
        if value.endswith(",") and value != ",":
            self.faults.append(f"{word}: expected {word.rstrip(',')}, without the comma")
            return []
        if (self.sweeps or ".." in value) and (several := _as_range(value)):
            self.faults.append(f"{word}: expected {'' if self.sweeps else '-m '}{text}={several}")
            return []
        if key == "trainer.devices" and value.startswith("["):
            self.faults.append(f"{word}: {self.known.hint('devices', value)}")
            return []
        if instead := words.VALUES.get(key, {}).get(words.plain(value)):
            self.faults.append(f"{word}: expected {instead}")
            return []
        if key == "dataset" and key in self.known.choices and (folder := self._folder(value)):
            return [f"{text}=image_folder", f"dataset.root={folder}"]
        if key in self.known.choices and PLAIN.fullmatch(value):
            return [f"{text}={self._chosen(key, value)}"]
        if CALL.fullmatch(value):
            quote = '"' if "'" in value else "'"
            return [f"{text}={quote}{value}{quote}"]
        top = re.split(r"[.@:/]", key)[0]
        mistyped = top != key and nearest(top, self.known.top)  # which Hydra's config tells more about
        if top and top != "hydra" and top not in self.known.top and not text.startswith("~") and not mistyped:
            hint = self.known.hint(key, value)
            if hint and "," in value and value[0] != "[" and not self.sweeps:
                hint = hint.replace("expected ", "expected -m ")
            if hint:
                self.faults.append(f"{word}: no such key; {hint}")
        return [word]

    def _folder(self, value: str) -> str:
        """A folder that stands in the place of a dataset's name, as it is typed; empty where it is none."""
        if value in self.known.choices["dataset"] or not Path(value).expanduser().is_dir():
            return ""
        return _quoted(str(Path(value).expanduser()))

    def _chosen(self, group: str, value: str) -> str:
        """The choices of a value such as ``lenet,MLP``; one of another tool's name is a fault."""
        named = {name: self.known.named(group, name) for name in re.findall(r"[^\[\],]+", value)}
        if any(other for _, other in named.values()):
            meant = re.sub(r"[^\[\],]+", lambda found: named[found[0]][1] or named[found[0]][0], value)
            self.faults.append(f"{group}={value}: no such choice; expected {group}={meant}")
            return value
        for name in [name for name in named if not self.known.has(group, named[name][0])]:
            hint = suggest(name, self.known.choices[group])
            if group == "model" and words.plain(name).startswith(tuple(map(words.plain, words.BACKBONES))):
                hint = f"expected model=finetuned model.backbone={name}; dlrun finetune has its trained weights too"
            elif group == "dataset" and re.search(r"[/~\\]", name):
                hint = "nor is there such a folder of images"
            self.faults.append(f"{group}={name}: no such choice; {hint}")
        return re.sub(r"[^\[\],]+", lambda found: named[found[0]][0], value)

    def _bare(self, word: str, rest: list[str]) -> list[str]:
        """A word that is no override: the choices and files that it can be."""
        found = list(dict.fromkeys(self._readings(word)))
        if len(found) == 1:
            return found[0].split()
        if found:
            self.faults.append(f"{word}: expected {' or '.join(found)}")
            return []
        key, colon, value = word.partition(":")
        if not colon and self.known.is_key(word) and rest and "=" not in rest[0] and not rest[0].startswith("-"):
            value = rest.pop(0)
            word = f"{word} {value}"
        stem = Path(word).stem if Path(word).suffix in (".yaml", ".yml") else ""
        if stem and (places := self.known.places(stem)):
            self.faults.append(f"{word}: expected {' or '.join(places)}")
            return []
        hint = self.known.hint("config" if Path(word).suffix in (".yaml", ".yml") else key, value)
        self.faults.append(f"{word}: {hint or self._nearest(word)}")
        return []

    def _readings(self, word: str) -> Iterator[str]:
        """What a bare word can stand for, as overrides."""
        top, path = self.known.top, Path(word)
        alike = ALIKE.get(word, "")
        if alike.partition("=")[0] in top:
            yield alike
        yield from self.known.places(word)
        if not path.exists():
            return
        value = _quoted(word)
        if (path / "config.yaml").is_file() and "run" in top:
            yield f"run={value}"
        elif path.suffix in WEIGHTS and "weights" in top:
            yield f"weights={value}"
        elif "input" in top and path.suffix not in (".yaml", ".yml"):
            yield f"input={value}"
        elif path.is_dir() and "dataset" in self.known.choices:
            yield f"dataset=image_folder dataset.root={value}"

    def _nearest(self, word: str) -> str:
        """What to say of a word that is nothing at all."""
        if Path(word).exists():
            return f"dlrun {self.known.verb} reads no such file; expected a folder of images, or KEY=VALUE"
        places = {name: f"{group}={name}" for group, names in self.known.choices.items() for name in names}
        if near := nearest(word, places):
            return f"not understood; did you mean {places[near]}?"
        what = "no such file or folder" if {"input", "dataset"} & {*self.known.top} else "not understood"
        return f"{what}, nor a choice of a group; expected KEY=VALUE; dlrun {self.known.verb} --help lists the keys"


def _quoted(path: str) -> str:
    """A path in the grammar of Hydra."""
    return path if re.fullmatch(r"[\w./+-]+", path) else f"'{path}'"


def _as_range(value: str) -> str:
    """Several values as Hydra writes them, where they are written as other tools do; empty for others.

    Example:
        >>> _as_range("1-3"), _as_range("0.1:0.5:0.1"), _as_range("3")
        ('range(1,4)', 'range(0.1,0.5,0.1)', '')
    """
    if whole := re.fullmatch(r"(\d+)(?:-|\.\.)(\d+)", value):
        return f"range({whole[1]},{int(whole[2]) + 1})"
    number = r"[\d.]+(?:e-?\d+)?"
    steps = re.fullmatch(rf"({number}):({number}):({number})", value)
    return f"range({','.join(steps.groups())})" if steps else ""
