"""Lines drawn while something is being done: a bar, the time left, and what else is known as far as it fits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.text import Text

NARROW, WIDE = 90, 110
"""Columns of a terminal below which a bar is short, and from which it is long."""
GAP = "  "
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
LEVELS = "▁▂▃▄▅▆▇█"
CURVE = 6
"""Characters of a curve."""
KEPT = 20 * CURVE
"""Sums from which a curve keeps half as many."""
REFRESH = 4
"""Times a second that a terminal is drawn."""

Notes = Callable[[], Sequence[Sequence[str]]]
"""What is known besides; of each note some variants, the longest first, and none where there is no room for any."""


@dataclass(eq=False)
class Row:
    """Something that is being done.

    Args:
        what: it is.
        total: when it is done; None where nobody knows.
        notes: asked several times a second, from another thread.
        done: how much of it is.
        started: when, by ``time.monotonic``.
    """

    what: str
    total: int | None = None
    notes: Notes = tuple
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.first = self.done  # what was done before took no time of this process

    def left(self, now: float) -> float | None:
        """The seconds to go, at the speed so far; None where nobody knows."""
        if self.total is None or self.done <= self.first:
            return None
        return (now - self.started) / (self.done - self.first) * (self.total - self.done)


class Board:
    """Draws rows below what is said on a terminal, as long as there are any.

    Args:
        terminal: to draw on.
    """

    def __init__(self, terminal: Console) -> None:
        from rich.live import Live  # takes a moment, and a pipe has no need of it

        self.rows: list[Row] = []
        self._terminal = terminal
        self._live = Live(get_renderable=self._drawn, console=terminal, refresh_per_second=REFRESH, transient=True)
        self._live.start()

    def refresh(self) -> None:
        """Draw now."""
        self._live.refresh()

    def stop(self) -> None:
        """Take all of it away."""
        self._live.stop()

    def _drawn(self) -> Group:
        terminal, now = self._terminal, time.monotonic()
        plain = terminal.options.ascii_only
        return Group(*(line(row, terminal.width, now, plain, bool(terminal.no_color)) for row in [*self.rows]))


def line(row: Row, width: int, now: float, plain: bool = False, no_color: bool = False) -> Text:
    """A row as one line of fewer characters than the terminal has.

    Args:
        row: what is being done.
        width: of the terminal, in characters.
        now: by ``time.monotonic``.
        plain: draw with the characters of ASCII alone.
        no_color: leave out what only its colour would tell from the bar.
    """
    if row.total is None:
        head = Text(("|/-\\" if plain else SPINNER)[int(now * REFRESH) % 4] + " " + row.what)
    else:
        columns = 10 if width < NARROW else 12 if width < WIDE else 24
        full = min(columns, columns * row.done // max(row.total, 1))
        mark = "-" if plain else "━"
        rest = (" " if plain or no_color else mark) * (columns - full)
        left = "-:--" if (seconds := row.left(now)) is None else clock(seconds)
        head = Text.assemble(row.what, GAP, (mark * full, "bar.complete"), (rest, "bar.back"), GAP, left)
    notes = [[text for text in variants if not plain or text.isascii()] for variants in row.notes()]
    for text in fitting(notes, width - 1 - head.cell_len):
        head.append(GAP + text)
    head.truncate(width - 1)
    return head


def fitting(notes: Sequence[Sequence[str]], room: int) -> list[str]:
    """A variant of each note such that all of them have room; the last ones are shortened, and left out, first.

    Example:
        >>> fitting([["loss 0.5 xx", "loss 0.5"], ["best 0.75 xx", "best 0.75"]], 25)
        ['loss 0.5 xx', 'best 0.75']
    """
    places = [0] * len(notes)
    backwards = [(at, place) for at in reversed(range(len(notes))) for place in range(1, len(notes[at]) + 1)]
    last = max((at for at, note in enumerate(notes) if len(note) > 1), default=-1)
    lone = [step for step in backwards if step[0] > last]  # these are left out before others are shortened
    shorten = [step for step in backwards if step[1] < len(notes[step[0]])]
    leave_out = [step for step in backwards if step[1] == len(notes[step[0]])]
    for at, place in [*lone, *shorten, *leave_out, (-1, 0)]:
        chosen = [note[now] for note, now in zip(notes, places, strict=True) if now < len(note)]
        if sum(len(GAP) + len(text) for text in chosen) <= room:
            return chosen
        places[at] = place
    return []


def clock(seconds: float) -> str:
    """Seconds as a clock shows them.

    Example:
        >>> clock(75), clock(3675)
        ('1:15', '1:01:15')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Curve:
    """Any number of values as a small curve, the mean of as many as share a character; finite ones alone.

    Example:
        >>> shape = Curve()
        >>> shape.add([3.0, 2.0, 1.0])
        >>> str(shape)
        '█▅▁'
    """

    def __init__(self) -> None:
        self._sums: list[float] = []
        self._each = 1  # values in a sum
        self._open = [0.0, 0.0]  # the sum that is not whole yet, and its values

    def add(self, values: Sequence[float]) -> None:
        """Take in more values; as few sums are kept as show the same."""
        for value in values:
            if math.isfinite(value):
                self._open = [self._open[0] + value, self._open[1] + 1]
                if self._open[1] == self._each:
                    self._sums.append(self._open[0])
                    self._open = [0.0, 0.0]
                if len(self._sums) == KEPT:
                    self._sums = [one + other for one, other in zip(self._sums[::2], self._sums[1::2], strict=True)]
                    self._each *= 2

    def __str__(self) -> str:
        known = list(self._sums)
        cells = min(CURVE, len(known))
        if cells < 2:
            return ""
        parts = [known[len(known) * place // cells : len(known) * (place + 1) // cells] for place in range(cells)]
        means = [sum(part) / len(part) for part in parts]
        low, extent = min(means), max(means) - min(means) or 1.0
        return "".join(LEVELS[round((mean - low) / extent * (len(LEVELS) - 1))] for mean in means)
