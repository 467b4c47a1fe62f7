"""Files that are never seen half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from dlrun.errors import RunError

TEMPORARY = ".tmp"


@contextmanager
def replacing(path: Path, keep: Path | None = None, sync: bool = True) -> Iterator[BinaryIO]:
    """Write to a temporary file that takes the place of ``path`` once it is whole and on disk.

    Args:
        path: the file.
        keep: what the file that is there is renamed to; None replaces it.
        sync: wait for the disk, so that the file also survives a loss of power.

    Raises:
        RunError: it cannot be written; what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}; what was there before is untouched") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let errors of the system name the file that was written to: of a full disk Python does not.

    Raises:
        OSError: has a ``filename``.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def appending(path: Path) -> Iterator[TextIO]:
    """A text file to append to; what goes wrong names it."""
    with naming(path), path.open("a", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        yield stream


def write_whole(path: Path, text: str) -> None:
    """Write a text file at once or not at all."""
    with replacing(path) as stream:
        stream.write(text.encode(errors="backslashreplace"))  # a name that is no UTF-8 may be in it


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in and below a folder that killed processes left; nobody may be writing there."""
    for path in folder.rglob(f".*.*{TEMPORARY}"):
        path.unlink(missing_ok=True)
