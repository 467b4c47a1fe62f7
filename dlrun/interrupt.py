"""Stopping a run from outside: the first signal lets it finish the step in hand, the second one does not.

In a parallel sweep the jobs run in worker processes. A worker hears of signals from its parent alone: it stops its job
as above, and takes no other. A worker whose parent was killed does the same.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
_requested: int | None = None  # noted by at_check or forwarding
_parent: int | None = None  # in a worker, the process that it works for
_leaving = False  # in a worker, whether it takes no more jobs


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
        _tell()

    try:
        with _handling(note):
            yield
    finally:
        _requested = None


def check() -> None:
    """Stop here if a signal has come, or the process that a worker works for has ended.

    Raises:
        Interrupted: stop requested.
    """
    if _requested is not None:
        raise Interrupted(_requested)
    if _parent is not None and os.getppid() != _parent:
        raise Interrupted(signal.SIGTERM)


def requested() -> int | None:
    """The signal that asked to stop, if one has."""
    return _requested


def worker_number() -> int | None:
    """Which of a parallel sweep's workers this process is, from 1; None if it is none."""
    name, _, number = multiprocessing.current_process().name.partition("-")
    return int(number.split(":")[0]) if name == "LokyProcess" else None


def takes_jobs() -> bool:
    """Call before every job of a sweep: False in a worker that was asked to stop."""
    global _parent
    if _parent is None and worker_number() is not None:
        _parent = os.getppid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
        signal.signal(signal.SIGTERM, lambda *_: leave())
    return not _leaving


def leave() -> bool:
    """Let this process take no more jobs if it is a worker, which it answers."""
    global _leaving
    _leaving = worker_number() is not None
    return _leaving


@contextmanager
def forwarding() -> Iterator[None]:
    """Signals are passed on to all worker processes; to leave this ends with the signal that came.

    Raises:
        Interrupted: one came.
    """
    import psutil  # with the extra that brings parallel sweeps

    global _requested
    reading, writing = os.pipe()

    def note(signum: int, frame: FrameType | None) -> None:
        global _requested
        _requested = signum
        os.write(writing, b".")
        _tell()

    def forward() -> None:
        while os.read(reading, 1):  # nothing once the other end is closed
            for child in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(signal.SIGTERM)

    forwarder = threading.Thread(target=forward)
    forwarder.start()
    try:
        with _handling(note):
            yield
    finally:
        os.close(writing)
        forwarder.join()
        os.close(reading)
        signum, _requested = _requested, None
        if signum is not None:
            raise Interrupted(signum)


def ignore_in_worker(_: int) -> None:
    """Let a worker process of a DataLoader leave signals to its parent, which ends it when it has finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tell() -> None:
    """Say in a signal's handler that it has come: through no buffer, since a print may be in progress."""
    with suppress(OSError):  # nobody may be reading
        os.write(STDERR, b"stopping after this step; once more to stop at once\n")


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
