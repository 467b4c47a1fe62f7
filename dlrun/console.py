"""What the program says: to the terminal, and to the run's ``log.txt``, warnings included."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType

from dlrun.run.output import Tolerant, text_to

WIDTH = 160
"""Of tables where the output is no terminal."""

terminal = Console(soft_wrap=True, highlight=False, markup=False)
if not terminal.is_terminal:
    terminal.width = WIDTH
_log: Console | None = None


def say(*what: RenderableType) -> None:
    """Print lines or tables to the terminal and to the log of the run in progress."""
    terminal.print(*what)
    if _log is not None:
        _log.print(*what)


def note(text: str) -> None:
    """Write to the log alone, such as a traceback."""
    if _log is not None:
        _log.print(text)


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Copy what is said meanwhile to a file, as far as its disk takes it, and say what Python warns of."""
    global _log
    show = warnings.showwarning
    with text_to(Tolerant(file, "a")) as stream:
        outer, _log = _log, Console(file=stream, width=WIDTH, soft_wrap=True, highlight=False, markup=False)
        warnings.showwarning = lambda message, category, *_, **__: say(f"warning: {message}")
        try:
            yield
        finally:
            _log = outer
            warnings.showwarning = show
