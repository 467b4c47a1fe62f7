"""What the program says: to the terminal, and to the run's ``log.txt``, warnings included.

On a terminal it also draws what it is doing, below what it has said; a pipe, a notebook and a worker see none of that.
"""

from __future__ import annotations

import copy
import io
import os
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.table import Table

from dlrun import interrupt
from dlrun.run.bars import Board, Row
from dlrun.run.output import Tolerant, text_to

Item = TypeVar("Item")

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
UNBOUNDED = 10_000
PART = "DLRUN_PART"
"""Environment variable: the number of the part, of how many, and when the first began, in seconds since 1970."""
_board: Board | None = None
_waiting: Row | None = None
_hushed = False


def say(*what: RenderableType) -> None:
    """Print lines or tables to the terminal and to the log of the run in progress."""
    if not _hushed:
        announce(*what)
    note(*what)


def announce(*what: RenderableType) -> None:
    """Print lines or tables to the terminal alone."""
    rest()
    for one in what:
        shown = fitted(one) if isinstance(one, Table) and terminal.is_terminal else one
        terminal.print(_wrapped(shown) if isinstance(shown, str) and terminal.is_terminal else shown)


def row(cells: Sequence[str], short: Sequence[str] = ()) -> None:
    """Print a line of cells, two spaces between them; on a terminal that is too narrow for it no cell is broken.

    Args:
        cells: of the whole line.
        short: those that are shown in its place where it does not fit.
    """
    rest()
    line = "  ".join(cells)
    note(line)
    if _hushed:
        return
    if terminal.is_terminal and len(line) >= terminal.width:
        line = fold(short or cells, terminal.width)
    terminal.print(line)


def fold(cells: Sequence[str], width: int) -> str:
    """Cells in lines of fewer characters than the width, those after the first set in."""
    lines = [cells[0]]
    for cell in cells[1:]:
        if len(lines[-1]) + 2 + len(cell) < width:
            lines[-1] += f"  {cell}"
        else:
            lines.append(f"    {cell}")
    return "\n".join(lines)


def fitted(table: Table) -> Table | str:
    """A table such that the terminal cuts off no word: in fewer columns of characters, or else as :func:`records`."""
    unbounded = terminal.options.update(width=UNBOUNDED)
    for tries in range(3):
        if terminal.measure(table, options=unbounded).minimum <= terminal.width:
            return table
        table = copy.deepcopy(table)
        for column in table.columns if tries == 0 else ():
            column.header = str(column.header).replace("_", "\n").replace("/", "/\n")
        if tries == 1:
            table.box, table.padding, table.pad_edge, table.collapse_padding = None, (0, 1, 0, 0), False, True
    return records(table)


def records(table: Table) -> str:
    """A table that is too wide as a block of lines for each row."""
    columns = [(str(column.header).replace("\n", " "), list(column.cells)) for column in table.columns]
    wide = max(len(name) for name, _ in columns)
    title = [str(table.title)] if table.title else []
    blocks = [
        "\n".join(f"  {name:<{wide}}  {cells[place]}" for name, cells in columns if cells[place])
        for place in range(table.row_count)
    ]
    return "\n".join([*title, "\n\n".join(blocks)])


def note(*what: RenderableType) -> None:
    """Write to the log alone, such as a traceback."""
    if _log is not None:
        _log.print(*what)


def is_live() -> bool:
    """Whether what is being done can be drawn: on a terminal, by the one process that has it."""
    return terminal.is_interactive and not terminal.is_jupyter and interrupt.worker_number() is None


def wait(what: str) -> None:
    """Draw what is being done, until something is said or a bar begins."""
    global _waiting
    rest()
    _waiting = draw(Row(what))


def rest() -> None:
    """Draw no more what is being waited for."""
    global _waiting
    if _waiting is not None:
        done, _waiting = _waiting, None
        clear(done)


def draw(row: Row) -> Row:
    """Draw a row, where that is possible, until it is cleared; a part of a larger command stands above it."""
    global _board
    if is_live():
        if _board is None:
            _board = Board(terminal)
            _board.rows += outer()
        _board.rows.append(row)
        _board.refresh()
    return row


def clear(row: Row) -> None:
    """Draw a row no more."""
    global _board
    if _board is not None and row in _board.rows:
        _board.rows.remove(row)
        if len(_board.rows) <= len(outer()):
            _board.stop()
            _board = None


def outer() -> list[Row]:
    """The row of the command of which this process does a part, by the environment."""
    if PART not in os.environ:
        return []
    number, total, seconds = os.environ[PART].split()
    started = time.monotonic() - (time.time() - float(seconds))
    row = Row(f"experiment {number} of {total}", int(total), done=int(number) - 1, started=started)
    row.first = 0
    return [row]


@contextmanager
def bar(what: str, total: int | None, note: Callable[[], str] = str) -> Iterator[Callable[[int], None]]:
    """Draw a bar meanwhile; gives what moves it on.

    Args:
        what: is being done.
        total: when it is full; None where nobody knows.
        note: what to show beside it; asked several times a second, from another thread.
    """
    rest()
    drawn = Row(what, total, lambda: [[f"{drawn.done:,}/{total:,}"] if total else [], [note()]])

    def advance(count: int) -> None:
        drawn.done += count

    draw(drawn)
    try:
        yield advance
    finally:
        clear(drawn)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar of how many have been taken."""
    with bar(what, total) as advance:
        for item in items:
            yield item
            advance(1)


def hush(on: bool) -> None:
    """Let what is said from now on go to the log alone; :func:`announce` is heard anyway."""
    global _hushed
    _hushed = on


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Copy what is said meanwhile to a file, as far as its disk takes it, and say what Python warns of."""
    global _log
    show = warnings.showwarning
    with text_to(Tolerant(file, "a"), errors="backslashreplace") as stream:
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


def _wrapped(text: str) -> str:
    """Lines that end between words; a path stays whole, so that it can be copied."""
    fill = partial(textwrap.fill, width=terminal.width - 1, break_long_words=False, break_on_hyphens=False)
    lines = text.splitlines() or [""]
    return "\n".join(line if len(line) < terminal.width else fill(line) for line in lines)
