"""A disk that fails once, in this process: for the tests of what is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from dlrun import files


@dataclass
class Disk:
    """What was asked of it.

    Args:
        fails_at: the number of the write that fails, from 1; 0 for none.
        number: of the error.
    """

    fails_at: int
    number: int = errno.ENOSPC
    writes: int = 0


@contextmanager
def disk(fails_at: int = 0, number: int = errno.ENOSPC) -> Iterator[Disk]:
    """Let one write of dlrun's only place that writes fail after half of its bytes; all others work."""
    made, put = Disk(fails_at, number), files._put

    def half(descriptor: int, content: str | bytes | memoryview) -> None:
        made.writes += 1
        if made.writes != fails_at:
            put(descriptor, content)
            return
        data = content.encode() if isinstance(content, str) else bytes(content)
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_put", half)
        yield made
