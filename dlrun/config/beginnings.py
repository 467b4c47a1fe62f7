"""A command line whose first word is no verb: what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from dlrun.config import shipped, words
from dlrun.config.vocabulary import Vocabulary
from dlrun.errors import suggest


def meant(first: str, rest: Sequence[str]) -> str:
    """One line that names what was meant by a command line that begins with another word than a verb.

    Example:
        >>> meant("fit", ["model=mlp"])
        'fit: no such verb; expected dlrun train model=mlp'
    """
    name, typed = words.plain(first), " ".join(map(shlex.quote, rest))
    spelled = {words.plain(verb): verb for verb in shipped.verbs()}
    known = Vocabulary("train")
    if name in spelled:
        what = f"dlrun {spelled[name]} {typed}"
    elif name in words.VERBS:
        command = words.VERBS[name]
        what = f"{command} {typed}" if command.split()[-1] in ("-m", *shipped.verbs()) else command
    elif first.startswith("-"):
        what = f"dlrun train {first} {typed}" if first in words.FLAGS else "dlrun VERB key=value; see dlrun --help"
    elif "=" in first:
        what = f"dlrun train {shlex.quote(first)} {typed}"
    elif Path(first).exists():
        run = (Path(first) / "config.yaml").is_file()
        what = f"dlrun evaluate run={first}" if run else f"dlrun predict run=last input={first}"
    elif places := known.places(first):
        what = f"dlrun train {' or '.join(places)}"
    else:
        return f"{first}: no such verb; {suggest(first, shipped.verbs())}"
    return f"{first}: no such verb; expected {what}".strip()
