"""What the program says: to the terminal, and to the run's ``log.txt``, warnings included."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from rich.console import Console, RenderableType

from dlrun.files import naming

WIDTH = 160
"""Of tables where the output is no terminal."""

if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no run
terminal = Console(soft_wrap=True, highlight=False, markup=False)
if not terminal.is_terminal:
    terminal.width = WIDTH
NAMED = 3  # files of which the same warning is said
_log: Console | None = None
_subject: ContextVar[str] = ContextVar("subject", default="")
_warned: dict[str, set[str]] = {}  # the subjects of each warning
_warning = threading.Lock()


def say(*what: RenderableType) -> None:
    """Print lines or tables to the terminal and to the log of the run in progress."""
    terminal.print(*what)
    note(*what)


def note(*what: RenderableType) -> None:
    """Write to the log alone, such as a traceback."""
    if _log is not None:
        with naming(_log.file.name):
            _log.print(*what)


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Copy what is said meanwhile to a file, and say what Python warns of."""
    global _log
    show = warnings.showwarning
    with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        outer, _log = _log, Console(file=stream, width=WIDTH, soft_wrap=True, highlight=False, markup=False)
        warnings.showwarning = lambda message, category, *_, **__: _warn(str(message))
        _warned.clear()
        try:
            yield
        finally:
            _log = outer
            warnings.showwarning = show


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Name what this thread is reading in the warnings that come meanwhile, each of a few subjects, and once."""
    outer = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(outer)


def _warn(text: str) -> None:
    subject, text = _subject.get(), text.strip()
    with _warning:
        known = _warned.setdefault(text, set())
        if not subject:
            say(f"warning: {text}")
        elif subject not in known and len(known) <= NAMED:
            known.add(subject)
            say(f"warning: {subject if len(known) <= NAMED else 'more files'}: {text}")
