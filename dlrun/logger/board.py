"""``dlrun tensorboard``: TensorBoard on the folder where the runs are. No torch here."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from dlrun import paths
from dlrun.errors import UserError

EVENTS = "events.out.tfevents.*"


def serve(words: Sequence[str]) -> None:
    """Show a folder's runs until Ctrl-C.

    Args:
        words: a folder, ``last``, or nothing for all runs; then TensorBoard's own flags, such as ``--port 7007``.

    Raises:
        UserError: there is nothing to show, or TensorBoard refuses its flags.
    """
    folder, flags = chosen(words)
    print(f"{folder}: {start(folder, flags)} (Ctrl-C ends it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def chosen(words: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder that is meant, and TensorBoard's flags."""
    named = bool(words) and not words[0].startswith("-")
    word = words[0].removeprefix("run=").removeprefix("--logdir=") if named else ""
    folder = paths.find_run(word) if word == "last" else Path(word or paths.RUNS)
    if not folder.is_dir():
        what = (
            "no runs here yet; dlrun train makes one" if not named else "no such folder; expected one of runs, or last"
        )
        raise UserError(f"tensorboard {folder}: {what}")
    if next(folder.rglob(EVENTS), None) is None:
        raise UserError(f"tensorboard {folder}: no run in this folder has anything for TensorBoard")
    return folder, list(words[named:])


def start(folder: Path, flags: Sequence[str] = ()) -> str:
    """Start TensorBoard in this process, on the first port that is free; its address.

    Raises:
        UserError: TensorBoard refuses its flags, or the port.
    """
    from tensorboard import program

    server = program.TensorBoard()
    try:
        server.configure(argv=["tensorboard", "--logdir", str(folder), *flags])
        with redirect_stderr(io.StringIO()):  # three lines on how it reads files
            address: str = server.launch()
    except (program.TensorBoardServerException, ValueError) as error:
        raise UserError(f"tensorboard {' '.join(flags)}: {' '.join(str(error).split())}") from None
    return address
