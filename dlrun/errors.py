"""The one exception for a user's mistake, and the spelling help that its messages carry."""

from __future__ import annotations

import os
from collections.abc import Iterable


class UserError(Exception):
    """The user's input is wrong: exit status 2, and the message is all that is printed.

    The message is one line that names the key and its value, says what was expected, and lists the choices.
    """


class RunError(Exception):
    """The run cannot go on, through no fault in its code: exit status 1, and the message is all that is printed."""


def sentence(error: OSError) -> str:
    """What a full disk or a read-only folder is called in a message."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    place = f"{name}: " if name else ""
    return f"{place}cannot be written or read: {error.strerror or error}; earlier files are intact"


def of_device(error: Exception) -> Exception:
    """An error of torch about what its device cannot do, as one that names the keys to change; any other as it is."""
    text = str(error)
    if isinstance(error, MemoryError):
        text = "out of memory"
    elif not isinstance(error, RuntimeError):
        return error
    if "does not have a deterministic implementation" in text:
        operator = text.split()[0]
        return UserError(f"trainer.deterministic=true: torch has no such {operator} on this device; expected false")
    if any(words in text for words in ("out of memory", "not enough memory", "can't allocate memory")):
        where = "CUDA " if "CUDA" in text else ""
        keys = "dataset.batch_size, dataset.eval_batch_size, dataset.image_size or model"
        return RunError(f"{where}out of memory; a smaller {keys} needs less")
    return error


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice whose spelling is nearest to a word, whatever the case; None where none is near."""
    import difflib  # takes a moment, and only mistakes need it

    spelled = {choice.lower(): choice for choice in sorted(choices)}
    near = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return spelled[near[0]] if near else None


def suggest(word: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: its nearest spelling and what there is to choose from.

    Example:
        >>> suggest("lenett", ["lenet", "mlp"])
        "did you mean 'lenet'? choose from lenet, mlp"
    """
    known = sorted(choices)
    if not known:
        return "there is nothing to choose from"
    near = nearest(word, known)
    listed = "choose from " + ", ".join(known)
    return f"did you mean {near!r}? {listed}" if near else listed
