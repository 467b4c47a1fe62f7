"""Stopping a run from outside: the first signal lets it finish the step in hand, the second one does not.

In a parallel sweep the jobs run in worker processes. A worker hears of signals from its parent alone: it stops its job
as above, and takes no other. A worker whose parent was killed does the same, and ends.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
TOGETHER = 1.0
"""Seconds within which a signal that comes again is the same wish, and does not interrupt the tidying up."""
LOOKS = 0.2
"""Seconds between two looks of a worker for its parent."""
GRACE = 5.0
"""Seconds that the job of a worker whose parent was killed has to save itself."""
_requested: int | None = None  # noted by at_check or forwarding
_came = -math.inf  # when the last signal raised Abandoned
_parent: int | None = None  # in a worker, the process that it works for
_at_work = False  # in a worker, whether it has a job
_leaving = False  # in a worker, whether it takes no more jobs
_hushed = False  # whether another process says that a signal has come
_together = False  # whether several processes agree on when to stop
_agreed: int | None = None  # the signal for which they do


class Stopped(BaseException):
    """The run was asked to stop.

    Args:
        signum: the signal, SIGINT or SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


class Interrupted(Stopped):
    """It stops where its state is whole, and can be saved."""


class Abandoned(Stopped):
    """It stops wherever it is, perhaps in the midst of a step: its state is not to be saved."""


@contextmanager
def at_once(last: bool = False) -> Iterator[None]:
    """Signals raise :class:`Abandoned` wherever the program is; and so does leaving this, if one came to no effect.

    Args:
        last: the program ends after this: once a signal has come, no other disturbs its end.

    Raises:
        Abandoned: a signal came. Native code that is being imported makes another exception of it, or none.
    """
    mine: int | None = None

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal mine
        global _came
        if time.monotonic() - _came > TOGETHER:
            mine, _came = signum, time.monotonic()
            raise Abandoned(signum)

    with _handling(stop) as before:
        try:
            yield
            if mine is not None:
                raise Abandoned(mine)
        except BaseException as error:
            stopped = isinstance(error, Stopped)
            if last and (stopped or mine is not None):
                before.update(dict.fromkeys(SIGNALS, signal.SIG_IGN))
            if stopped or mine is None:
                raise
            raise Abandoned(mine) from error


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
    signum = _agreed if _together else requested()
    if signum is not None:
        raise Interrupted(signum)


def requested() -> int | None:
    """The signal that asked this process to stop, if one has; SIGTERM where the one that it works for has ended."""
    is_orphan = _parent is not None and os.getppid() != _parent
    return signal.SIGTERM if is_orphan and _requested is None else _requested


@contextmanager
def together() -> Iterator[None]:
    """Meanwhile :func:`check` stops for a signal that all processes of a run know of, and for no other."""
    global _together, _agreed
    _together, _agreed = True, None
    try:
        yield
    finally:
        _together = False


@contextmanager
def by_itself() -> Iterator[None]:
    """Within :func:`together`, while the others wait for this process: it stops for its own signals."""
    global _together
    before, _together = _together, False
    try:
        yield
    finally:
        _together = before


def wishes() -> list[float]:
    """For each of the signals 1 if it has asked this process to stop, else 0."""
    return [float(requested() == signum) for signum in SIGNALS]


def agree(wishes: Sequence[float]) -> None:
    """Take in the sums of the wishes of all processes, which know of them now."""
    global _agreed
    for signum, wish in zip(SIGNALS, wishes, strict=True):
        if wish and _agreed is None:
            _agreed = signum


def worker_number() -> int | None:
    """Which of a parallel sweep's workers this process is, from 1; None if it is none."""
    import multiprocessing  # half of the time that dlrun --help takes

    name, _, number = multiprocessing.current_process().name.partition("-")
    return int(number.split(":")[0]) if name == "LokyProcess" else None


def belong_to(parent: int) -> None:
    """Let this process stop, as by a signal, when the one that has started it ends.

    Args:
        parent: the number of that process.
    """
    global _parent
    _parent = parent


def hush() -> None:
    """Let another process say that a signal has come."""
    global _hushed
    _hushed = True


def work_for(parent: int) -> None:
    """Make this process a worker of another, with which it ends.

    Args:
        parent: the number of that process.
    """
    global _parent
    _parent = parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
    signal.signal(signal.SIGTERM, lambda *_: leave())

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(LOOKS)
        leave()
        given_up = time.monotonic() + GRACE
        while _at_work and time.monotonic() < given_up:
            time.sleep(LOOKS)
        os._exit(128 + signal.SIGTERM)

    from threading import Thread

    Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def at_work() -> Iterator[bool]:
    """For the time of a sweep's job; False is for a worker that was asked to stop, and begins no other."""
    global _at_work
    _at_work = True
    try:
        yield not _leaving
    finally:
        _at_work = False


def leave() -> bool:
    """Let this process take no more jobs if it is a worker, which it answers."""
    global _leaving
    _leaving = _parent is not None
    return _leaving


@contextmanager
def forwarding() -> Iterator[None]:
    """Signals are passed on to all worker processes; to leave this ends with the signal that came.

    Raises:
        Interrupted: one came.
    """
    from threading import Thread

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

    forwarder = Thread(target=forward)
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
    if _hushed:
        return
    with suppress(OSError):  # nobody may be reading
        os.write(STDERR, b"stopping after this step; once more to stop at once\n")


@contextmanager
def _handling(handler: signal._HANDLER) -> Iterator[dict[signal.Signals, signal._HANDLER]]:
    """Handle the signals meanwhile; gives what handles them afterwards."""
    threading = sys.modules.get("threading")  # which takes a moment to import; without it there is one thread
    if threading and threading.current_thread() is not threading.main_thread():  # Python takes handlers only there
        yield {}
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield before
    finally:
        for number, old in before.items():
            signal.signal(number, old)
