"""Stopping a run from outside: the first signal lets it finish the step in hand, the second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dlrun import console

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_requested: int | None = None


class Interrupted(BaseException):
    """The run was asked to stop.

    Args:
        signum: the signal, SIGINT or SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


@contextmanager
def at_once() -> Iterator[None]:
    """Signals raise :class:`Interrupted` wherever the program is."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    with _handling(stop):
        yield


@contextmanager
def at_check() -> Iterator[None]:
    """The first signal is noted, for :func:`check` to raise where the state is whole; the second acts as before."""
    global _requested
    outer = {number: signal.getsignal(number) for number in SIGNALS}

    def note(signum: int, frame: FrameType | None) -> None:
        global _requested
        _requested = signum
        for number in SIGNALS:
            signal.signal(number, outer[number])
        console.say("stopping after this step; once more to stop at once")

    try:
        with _handling(note):
            yield
    finally:
        _requested = None


def check() -> None:
    """Stop here if a signal has come.

    Raises:
        Interrupted: it has.
    """
    if _requested is not None:
        raise Interrupted(_requested)


def ignore_in_worker(_: int) -> None:
    """Let a worker process of a DataLoader leave signals to its parent, which ends it when it has finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _handling(handler: signal._HANDLER) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python takes handlers only there
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
