"""Let every call of the system that changes a file of a command fail once, and repeat the command on a good disk.

    python -m tests.disk_table [train|sweep|finetune|attack ...] [every=N]

Needs a C compiler. Prints a line for each command: how many calls there are, how many were let fail (each, or every
N-th), and what differed afterwards from an undisturbed run; exits with 1 if anything did.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

SOURCE = Path(__file__).parent / "failing_disk.c"


def started_again(words: list[str]) -> int:
    """Start this module with the library in front of the system's own; its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "failing_disk.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "tests.disk_table", *words], env=environment, check=False
        ).returncode


def attempt(command: list[str], place: int, folder: str) -> tuple[int, int, str]:
    """Run a command in a child whose n-th call fails; its exit status, the number of calls, and what it said."""
    from dlrun import cli

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status, library = 1, ctypes.CDLL(os.environ["LD_PRELOAD"])
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["dlrun", *command]
        library.fail_at(place, (errno.ENOSPC, errno.EIO)[place % 2], f"/{folder}".encode())
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(writing, str(library.calls()).encode())
            os._exit(status)
    os.close(writing)
    _, ended = os.waitpid(child, 0)
    calls = int(os.read(reading, 20) or 0)
    os.close(reading)
    return os.waitstatus_to_exitcode(ended), calls, Path("output.txt").read_text(errors="replace")


def walk(name: str, every: int) -> list[str]:
    """Let the calls of a command fail, one in each run; what differed."""
    from tests.test_disks import COMMANDS, left

    def words(folder: str) -> list[str]:
        return [word.replace("FOLDER", folder) for word in COMMANDS[name]]

    status, calls, said = attempt(words(f"{name}00000"), 0, f"{name}00000")
    assert status == 0, said
    whole, different, places = left(Path(f"{name}00000")), [], range(1, calls + 1, every)
    for place in places:
        folder = f"{name}{place:05}"
        status, _, said = attempt(words(folder), place, folder)
        if "Traceback" in said or (status and folder not in said):
            different.append(f"call {place}: {said[-300:]}")
        if status:  # what it does not need may fail: a lock, a line in the log
            status, _, said = attempt(words(folder), 0, folder)
        found = left(Path(folder)) if Path(folder).exists() else {}
        names = sorted(each for each in whole.keys() | found.keys() if whole.get(each) != found.get(each))
        if status or names:
            different.append(f"call {place}: status {status}, {', '.join(names)}: {said[-300:]}")
    print(f"{name}: {calls} calls, {len(places)} failed; {len(different) or 'nothing'} differs", flush=True)
    return different


def main() -> int:
    """Walk through the commands; the exit status."""
    if "LD_PRELOAD" not in os.environ:
        return started_again(sys.argv[1:])
    import dlrun.command.attack
    import dlrun.command.finetune
    import dlrun.task.classification  # noqa: F401
    from tests.command.test_finetune import photos
    from tests.conftest import QUICK
    from tests.test_disks import COMMANDS

    every = next((int(word[6:]) for word in sys.argv[1:] if word.startswith("every=")), 1)
    names = [word for word in sys.argv[1:] if word in COMMANDS] or list(COMMANDS)
    different: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        photos(Path("photos"), count=8)
        status, _, said = attempt(["train", *QUICK, "hydra.run.dir=trained"], 0, "trained")
        assert status == 0, said
        for name in names:
            different += walk(name, every)
        os.chdir("/")
    print("\n".join(different))
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
