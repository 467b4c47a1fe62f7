"""The one way to write: a file is whole or untouched, whatever happens to the disk or the process."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from dlrun.errors import RunError

TEMPORARY = ".tmp"
LEFTOVER = re.compile(rf"\..+\.\d+({re.escape(TEMPORARY)})?")
"""Names of temporary files, those of earlier versions too."""


def write_whole(path: Path, content: str | bytes | memoryview, keep: Path | None = None, sync: bool = True) -> None:
    """Write a file at once or not at all: a temporary one takes its place once that is whole and on disk.

    Args:
        path: the file.
        content: all of it; text is written as UTF-8.
        keep: what the file that is there is renamed to; None replaces it.
        sync: wait for the disk, so that the file also survives a loss of power.

    Raises:
        RunError: it cannot be written; what was there before is untouched.
    """
    own = int.from_bytes(os.urandom(8))  # processes of several machines may have the same number
    temporary = path.with_name(f".{path.name}.{own}{TEMPORARY}")
    try:
        with temporary.open("wb", buffering=0) as stream:
            _put(stream.fileno(), content)
            if sync:
                os.fsync(stream.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def append(path: Path, content: str | bytes | memoryview) -> None:
    """Add to the end of a file, at once or not at all; a new file begins with it.

    Raises:
        RunError: it cannot be written; the file ends where it ended before.
    """
    try:
        with path.open("ab", buffering=0) as stream:
            end = stream.tell()
            try:
                _put(stream.fileno(), content)
            except OSError:
                with suppress(OSError):  # the first error says more
                    stream.truncate(end)
                raise
    except OSError as error:
        raise _failure(path, error) from error


def _put(number: int, content: str | bytes | memoryview) -> None:
    """Write all of it through a file descriptor; a disk that is nearly full takes a part at a time."""
    # A name that is no UTF-8 may be in a text.
    rest = memoryview(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    while rest:
        rest = rest[os.write(number, rest) :]


def _failure(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be written: {error.strerror or error}; what was there before is untouched")


def remove_leftovers(folder: Path, below: bool = True) -> None:
    """Remove the temporary files in a folder that killed processes left; nobody may be writing there.

    Args:
        folder: where to look.
        below: in its subfolders too.
    """
    for path in folder.rglob(".*") if below else folder.glob(".*"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
