"""Let every call of the system that changes a file of a command fail, and repeat the command on a good disk.

    python -m tests.disk_table [train|sweep|finetune|attack ...] [every=N]

Needs a C compiler. Every call (or every N-th) is let fail in two ways: once with EIO, as where a block is bad, and with
ENOSPC from there on, as on a disk that is full. One process imports everything once and forks a child for each attempt.
Prints a line for each command: how many calls there are, how many attempts were made, and how many ended, once
repeated, otherwise than an undisturbed run; exits with 1 if any did.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).parent / "failing_disk.c"


class Way(NamedTuple):
    """How the disk fails: with an error, in one call or in all that follow too."""

    error: int
    stays: bool = False


WAYS = {"EIO": Way(errno.EIO), "ENOSPC": Way(errno.ENOSPC, stays=True)}
GOOD = 0
"""The number of no call."""


def started_again(words: list[str]) -> int:
    """Start this module with the library in front of the system's own; its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "failing_disk.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "tests.disk_table", *words], env=environment, check=False
        ).returncode


def attempt(command: list[str], folder: str, place: int = GOOD, way: Way = WAYS["EIO"]) -> tuple[int, int, str]:
    """Run a command in a child whose n-th call fails; its exit status, the number of calls, and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        output = os.open(f"{folder[::-1]}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)  # no file of the folder
        os.dup2(output, 1)
        os.dup2(output, 2)
        last = 2**62 if way.stays and place != GOOD else place
        library.fail_at(ctypes.c_long(place), ctypes.c_long(last), way.error, folder.encode())
        status = ended(command)
        with contextlib.suppress(OSError):
            os.write(writing, str(library.calls()).encode())
        os._exit(status)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    calls = int(os.read(reading, 20) or 0)
    os.close(reading)
    said = Path(f"{folder[::-1]}.txt")
    text = said.read_text(errors="replace")
    said.unlink()
    return os.waitstatus_to_exitcode(status), calls, text


def ended(command: list[str]) -> int:
    """Run a command line in this process; its exit status."""
    from dlrun import cli

    sys.argv = ["dlrun", *command]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()


def words(name: str, folder: str) -> list[str]:
    """The command of a name, in a folder."""
    from tests.test_disks import COMMANDS

    return [word.replace("FOLDER", folder) for word in COMMANDS[name]]


def difference(whole: dict[str, Any], name: str, case: tuple[int, str]) -> str | None:
    """Let a call of a command fail, repeat the command; what differs then from what an undisturbed one leaves."""
    from tests.test_disks import left

    place, way = case
    folder = f"{name}{place:04}{list(WAYS).index(way)}"
    status, _, said = attempt(words(name, folder), folder, place, WAYS[way])
    wrong = "Traceback" in said or status < 0 or bool(status and folder not in said)
    if status:  # what it does not need may fail: a lock, a line in the log
        again, _, more = attempt(words(name, folder), folder)
        said, wrong = said + more, wrong or again != 0
    found = left(Path(folder)) if Path(folder).exists() else {}
    names = sorted(each for each in whole.keys() | found.keys() if whole.get(each) != found.get(each))
    if "the features are not kept" in said:  # which a run that has ended needs no more
        names = [each for each in names if each in found or not each.startswith("features/")]
    shutil.rmtree(folder, ignore_errors=True)
    if not wrong and not names:
        return None
    return f"{name}, call {place}, {way}: {', '.join(names)}: {said[:300]} ... {said[-300:]}"


def walk(name: str, every: int) -> int:
    """Let the calls of a command fail, each in an attempt of its own; how many ended otherwise, which it prints."""
    from tests.test_disks import left

    folder = f"{name}{GOOD:05}"
    status, calls, said = attempt(words(name, folder), folder)
    assert status == 0, said
    cases = [(place, way) for place in range(1, calls + 1, every) for way in WAYS]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        different = 0
        for number, found in enumerate(pool.imap(partial(difference, left(Path(folder)), name), cases), start=1):
            if found:
                different += 1
                print(found, flush=True)
            if number % 50 == 0:
                print(f"{name}: {number} of {len(cases)} attempts", flush=True)
    print(f"{name}: {calls} calls, {len(cases)} attempts; {different or 'nothing'} differs", flush=True)
    return different


def prepare() -> None:
    """Make what the commands need in the working directory, and import what they import, without starting a thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from tests.command.test_finetune import photos
    from tests.conftest import QUICK

    FigureCanvasAgg.draw = FigureCanvasAgg.get_renderer  # type: ignore[method-assign]  # blank, as drawing takes long
    photos(Path("photos"), count=8)
    with contextlib.redirect_stdout(io.StringIO()):
        assert ended(["train", *QUICK, "hydra.run.dir=trained"]) == 0
    import dlrun.command.attack
    import dlrun.command.finetune  # noqa: F401

    assert threading.active_count() == 1


def main() -> int:
    """Walk through the commands; the exit status."""
    if "LD_PRELOAD" not in os.environ:
        return started_again(sys.argv[1:])
    from tests.test_disks import COMMANDS

    every = next((int(word[6:]) for word in sys.argv[1:] if word.startswith("every=")), 1)
    names = [word for word in sys.argv[1:] if word in COMMANDS] or list(COMMANDS)
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        prepare()
        for name in names:
            different += walk(name, every)
        os.chdir("/")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
