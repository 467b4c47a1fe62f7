"""Write ``docs/screens.md``: what commands show on a terminal of two sizes, and in a pipe.

python -m tests.screens
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "docs" / "screens.md"
SIZES = ((80, 24), (60, 20))
TRAIN = "train model=cnn model.widths=[8,8] dataset.image_size=12"
COMMANDS = (
    f"{TRAIN} trainer.epochs=4 hydra.run.dir=runs/train/cnn-digits/first",
    f"{TRAIN} trainer.epochs=1 -m optimizer.lr=0.1,0.01 hydra.sweep.dir=runs/train/sweep/first",
    "attack run=runs/train/cnn-digits/first attack=pgd attack.eps=[0.05,0.1] limit=50",
    "explain run=runs/train/cnn-digits/first explainer=grad_cam limit=3",
    "reproduce perceptron xor_perceptron folder=runs/reproduce hydra.run.dir=runs/report",
    "train model=lenett",
)
ENDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b")


class Typed(NamedTuple):
    """A command that was typed on a terminal.

    Args:
        shown: what is left on it when the command has ended; what was drawn and taken away again is not.
        first: seconds until something was to be seen.
        seconds: until its end.
        cpu: seconds of the processor that it took.
    """

    shown: str
    first: float
    seconds: float
    cpu: float


def on_terminal(command: str, folder: Path, columns: int, rows: int) -> Typed:
    """Type a command on a terminal of so many columns and rows."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-c", STARTED, *command.split()])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.write(terminal, b"\n")  # the size is set
    said, began, first = b"", time.monotonic(), 0.0
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # which is how it ends
            break
        if not data:
            break
        said += data
        if not first and drawn(said.decode(errors="ignore").partition("\n")[2]):
            first = time.monotonic() - began
    used = os.wait4(child, 0)[2]
    shown = drawn(said.decode().partition("\n")[2])
    return Typed(shown, first, time.monotonic() - began, used.ru_utime + used.ru_stime)


STARTED = "import sys; sys.stdin.readline(); sys.argv[0] = 'dlrun'; from dlrun.cli import main; main()"
"""Waits for the terminal to have its size."""


def drawn(said: str) -> str:
    """The lines of a terminal after what was written to it."""
    lines, row, column = [""], 0, 0
    for part in ENDS.findall(said):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b"):
            if part.endswith("K"):
                lines[row] = ""
            elif part.endswith("A"):
                row = max(0, row - int(part[2:-1] or 1))
        else:
            old = lines[row].ljust(column)
            lines[row] = old[:column] + part + old[column + len(part) :]
            column += len(part)
    return "\n".join(line.rstrip() for line in lines).strip()


def in_pipe(command: str, folder: Path) -> str:
    """What a command writes where nobody watches."""
    words = [sys.executable, "-m", "dlrun", *command.split()]
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    """Run every command on each, in an empty folder, and write the file."""
    parts = [
        "# Screens",
        "Made by `python -m tests.screens`. A bar shows what is being done, and goes when it is done.",
    ]
    for columns, rows in (*SIZES, (0, 0)):
        parts.append(f"## {columns} x {rows}" if columns else "## A pipe")
        with tempfile.TemporaryDirectory() as name:
            for command in COMMANDS:
                folder = Path(name)
                said = on_terminal(command, folder, columns, rows).shown if columns else in_pipe(command, folder)
                parts.append(f"```\n$ dlrun {command}\n{said}\n```")
    FILE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
