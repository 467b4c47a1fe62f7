"""Signals: whatever a library makes of them, and however many come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dlrun import interrupt


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(interrupt, "_came", -float("inf"))
    before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def swallowed(number: int) -> None:
    """A signal in a destructor, where all exceptions are."""
    with suppress(interrupt.Stopped):
        os.kill(os.getpid(), number)


def converted(number: int) -> None:
    """A signal in the import of native code."""
    try:
        os.kill(os.getpid(), number)
    except interrupt.Stopped as error:
        raise ImportError("numpy has it so") from error


@pytest.mark.parametrize("number", interrupt.SIGNALS)
@pytest.mark.parametrize("met", [swallowed, converted])
def test_a_signal_that_a_library_turns_into_something_else_still_stops(number: int, met: Callable[[int], None]) -> None:
    with pytest.raises(interrupt.Abandoned) as caught, interrupt.at_once():
        met(number)
    assert caught.value.signum == number


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(ImportError), interrupt.at_once():
        raise ImportError


def test_a_signal_that_comes_twice_disturbs_no_tidying_up() -> None:
    tidied = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(True)

    with pytest.raises(interrupt.Abandoned), interrupt.at_once(last=True), interrupt.at_once():
        work()
    assert tidied
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # the program ends


def test_a_signal_while_the_program_imports_ends_it_without_a_traceback() -> None:
    code = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a parent in the background does not leave

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "dlrun.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
import dlrun.__main__
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_a_state_within_a_step_is_not_one_to_save() -> None:
    with pytest.raises(interrupt.Abandoned), interrupt.at_once(), interrupt.at_check():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(interrupt.Interrupted):
            interrupt.check()
        os.kill(os.getpid(), signal.SIGINT)
    assert not issubclass(interrupt.Abandoned, interrupt.Interrupted)  # which the trainer saves at


def test_a_worker_ends_with_its_parent() -> None:
    worker = (
        "import time, sys; from dlrun import interrupt; interrupt.work_for(int(sys.argv[1])); print(1); time.sleep(60)"
    )
    code = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {worker!r}, str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    started = time.monotonic()
    parent.stdout.read()  # ends when nobody has the other end: the worker inherited none of it
    assert parent.wait() == -signal.SIGKILL
    while is_alive(child) and time.monotonic() - started < 10:
        time.sleep(0.05)
    assert time.monotonic() - started < 5


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
