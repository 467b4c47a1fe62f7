"""Standard output and error that nobody may be reading any more: no reason to lose a run."""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # as typing's own, which takes a moment to import
if TYPE_CHECKING:
    from typing import Any, TextIO


class Tolerant(io.FileIO):
    """A file descriptor to which all can be written: what it does not take is lost, and why is kept."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write the bytes, or lose them."""
        try:
            return super().write(data) or 0
        except BlockingIOError:
            raise
        except OSError as error:
            self.error = error
            return memoryview(data).nbytes


def text_to(raw: Tolerant, encoding: str = "utf-8", errors: str | None = None, by_line: bool = False) -> TextIO:
    """A stream of text onto a file."""
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=by_line)


def tolerate() -> None:
    """Let this process go on when its output cannot be written: a pipe that was closed, a full disk, a lost terminal.

    A standard output that somebody else has put in the place of the interpreter's own is left alone.
    """
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _tolerant(sys.stdout)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _tolerant(sys.stderr)


def lost() -> str | None:
    """Why some of the standard output was lost, in words; None for a pipe whose reader had enough of it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, Tolerant):
        return None
    sys.stdout.flush()
    if raw.error is None or isinstance(raw.error, BrokenPipeError):
        return None
    return f"standard output: cannot be written: {raw.error.strerror or os.strerror(raw.error.errno or 0)}"


def _tolerant(stream: TextIO) -> TextIO:
    stream.flush()
    raw = Tolerant(stream.fileno(), "w", closefd=False)
    return text_to(raw, stream.encoding, stream.errors, getattr(stream, "line_buffering", False))
