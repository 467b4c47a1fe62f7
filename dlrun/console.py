"""What the program says: to the terminal, and to the run's ``log.txt``, warnings included.

On a terminal it also draws what it is doing, below what it has said; a pipe, a notebook and a worker see none of that.
"""

from __future__ import annotations

import copy
import io
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, RenderableType
from rich.table import Table

from dlrun import interrupt
from dlrun.run.output import Tolerant, text_to

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")

WIDTH = 160
"""Of tables where the output is no terminal."""
NARROW = 70
"""Columns of a terminal below which a bar is short and alone."""

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
_drawn: Progress | None = None
_waiting: TaskID | None = None


def say(*what: RenderableType) -> None:
    """Print lines or tables to the terminal and to the log of the run in progress."""
    rest()
    for one in what:
        shown = fitted(one) if isinstance(one, Table) and terminal.is_terminal else one
        terminal.print(_wrapped(shown) if isinstance(shown, str) and terminal.is_terminal else shown)
    note(*what)


def row(cells: Sequence[str], short: Sequence[str] = ()) -> None:
    """Print a line of cells, two spaces between them; on a terminal that is too narrow for it no cell is broken.

    Args:
        cells: of the whole line.
        short: those that are shown in its place where it does not fit.
    """
    rest()
    line = "  ".join(cells)
    if terminal.is_terminal and len(line) >= terminal.width:
        line = fold(short or cells, terminal.width)
    terminal.print(line)
    note("  ".join(cells))


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
    if is_live():
        rest()
        _waiting = _display().add_task(what, total=None, note=str)


def rest() -> None:
    """Draw no more what is being waited for."""
    global _waiting
    if _waiting is not None:
        done, _waiting = _waiting, None
        _remove(done)


@contextmanager
def bar(what: str, total: int | None, note: Callable[[], str] = str) -> Iterator[Callable[[int], None]]:
    """Draw a bar meanwhile; gives what moves it on.

    Args:
        what: is being done.
        total: when it is full; None where nobody knows.
        note: what to show beside it; asked several times a second, from another thread.
    """
    if not is_live():
        yield lambda _: None
        return
    rest()
    display = _display()
    task = display.add_task(what, total=total, note=note)
    try:
        yield lambda count: display.advance(task, count)
    finally:
        _remove(task)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar of how many have been taken."""
    with bar(what, total) as advance:
        for item in items:
            yield item
            advance(1)


def _display() -> Progress:
    """What draws all bars; made with the first of them."""
    global _drawn
    if _drawn is None:
        from rich import progress  # takes a moment, and a pipe has no need of it

        class Note(progress.ProgressColumn):
            def render(self, task: progress.Task) -> str:
                text: str = task.fields["note"]()
                return text

        is_narrow = terminal.width < NARROW
        columns = [progress.MofNCompleteColumn(), Note(), progress.TimeRemainingColumn(elapsed_when_finished=True)]
        _drawn = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(10 if is_narrow else 24),
            *(columns[2:] if is_narrow else columns),
            console=terminal,
            refresh_per_second=4,
            transient=True,
        )
        _drawn.start()
    return _drawn


def _remove(task: TaskID) -> None:
    global _drawn
    if _drawn is not None:
        _drawn.remove_task(task)
        if not _drawn.tasks:
            _drawn.stop()
            _drawn = None


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
