"""Mistype every key of every verb's config, and see that it is refused before any data loads, and what is said.

    python -m tests.mutations [HOW_MANY]

One letter of each key is dropped, doubled, or swapped with its neighbour, at a random place; the mistyped key is
given as an override, plain and behind ``+``. Exits with 1 if a mistyped key is taken, or if fewer than 95% of the
refusals suggest the key that was meant; prints the seconds of the processor that the slowest took.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, NoReturn
from unittest import mock

from omegaconf import OmegaConf

from dlrun import cli
from dlrun.command.verbs import VERBS
from dlrun.config import shipped
from dlrun.config.difference import flat
from dlrun.config.saved import quoted
from tests.test_configs import composed

NAMED = 0.95


@dataclass
class Case:
    """A mistyped key on a verb's command line."""

    verb: str
    base: list[str]
    key: str
    place: int
    mutated: str
    value: str


@dataclass
class Found:
    """How a command line with it ended."""

    refused: bool
    named: bool
    seconds: float
    message: str


def base(verb: str) -> list[str]:
    """What a verb needs on its command line; a run to repeat lies in the working directory."""
    if verb == "replay":
        return ["run=."]
    if verb == "finetune":
        return ["weights=null"]
    if verb == "lesson":
        return ["lesson=least_squares"]
    needed = ["model=lenet", "dataset=digits", "weights=w.pt"]
    takes_a_model = "model" in VERBS[verb].schema.model_fields
    return needed if takes_a_model and composed(verb).get("model") is None else []


def mutations(key: str, rng: random.Random) -> list[tuple[int, str]]:
    """The key with a letter dropped, doubled, and swapped with the next one; with the place of each."""
    letters = [place for place, letter in enumerate(key) if letter != "."]
    drop, double = rng.choice(letters), rng.choice(letters)
    swap = rng.choice([place for place in letters[:-1] if key[place + 1] not in (key[place], ".")])
    return [
        (drop, key[:drop] + key[drop + 1 :]),
        (double, key[:double] + key[double] + key[double:]),
        (swap, key[:swap] + key[swap + 1] + key[swap] + key[swap + 2 :]),
    ]


def cases(seed: int = 0) -> tuple[list[Case], int]:
    """A case for every leaf of every verb and kind of mutation; and how many more gave another valid key.

    Writes the config of a run into the working directory.
    """
    OmegaConf.save(composed("train"), "config.yaml", resolve=True)
    rng = random.Random(seed)
    found, valid = [], 0
    for verb in shipped.verbs():
        overrides = base(verb)
        leaves = flat(composed(verb, *overrides))
        sections = {key[:place] for key in leaves for place, letter in enumerate(key) if letter == "."}
        for key, value in leaves.items():
            text = json.dumps(value) if isinstance(value, list) else quoted(value)
            for place, mutated in mutations(key, rng):
                if mutated in leaves or mutated in sections:
                    valid += 1
                else:
                    found.append(Case(verb, overrides, key, place, mutated, text))
    return found, valid


def attempt(case: Case, prefix: str = "") -> Found:
    """Give the mistyped key to the command line, in this process."""

    def load(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("the data was loaded")

    errors = io.StringIO()
    status: Any = 0
    arguments = ["dlrun", case.verb, *case.base, f"{prefix}{case.mutated}={case.value}"]
    started = time.process_time()
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.object(sys, "path", list(sys.path)),
        mock.patch("dlrun.build.data", load),
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
    seconds = time.process_time() - started
    meant = case.key.split(".")[case.key[: case.place].count(".")]
    message = errors.getvalue()
    return Found(status == 2, f"did you mean '{meant}'" in message, seconds, message)


def is_new_callback(case: Case) -> bool:
    """Whether it names a callback of another name, target and all: behind ``+`` that is no mistake."""
    return case.mutated.startswith("callback.") and case.mutated.endswith("._target_") and case.mutated.count(".") == 2


def report(chosen: list[Case], prefix: str) -> bool:
    """Try them all and print the figures; whether they are good enough."""
    if prefix:
        known = len(chosen)
        chosen = [case for case in chosen if not is_new_callback(case)]
        print(f"{known - len(chosen)} mutations behind {prefix} gave a callback of another name, and are left out")
    attempt(chosen[0], prefix)  # imports what is imported once
    results = [(case, attempt(case, prefix)) for case in chosen]
    taken = [case for case, found in results if not found.refused]
    silent = [(case, found) for case, found in results if not found.named]
    slowest = max(found.seconds for _, found in results)
    share = 1 - len(silent) / len(results)
    for case in taken:
        print(f"taken: {case.verb} {prefix}{case.mutated}={case.value} ({case.key})")
    for case, found in silent:
        print(f"not named: {case.verb} {prefix}{case.mutated} ({case.key}): {found.message.strip()[:160]}")
    print(
        f"{prefix or 'plain'}: {len(results)} mistyped keys, {len(results) - len(taken)} refused,"
        f" {share:.1%} with the key that was meant, the slowest in {slowest:.2f} s"
    )
    return not taken and share >= NAMED


def main() -> int:
    """Walk all keys, or so many of them; the exit status."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        chosen, valid = cases()
        if len(sys.argv) > 1:
            chosen = random.Random(0).sample(chosen, int(sys.argv[1]))
        print(f"{valid} mutations gave another valid key, and are left out")
        good = [report(chosen, prefix) for prefix in ("", "+")]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
