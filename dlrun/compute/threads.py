"""How many threads of torch's work on one operation: as many as it likes, or one, with the same bits on any machine.

A sum that several threads share is added in another order, so that the number of threads is part of a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_given = 1  # threads that torch would take by itself, if it was told to take one


def one() -> None:
    """Let every operation be computed by one thread from here on."""
    global _given
    _given = max(_given, torch.get_num_threads())
    torch.set_num_threads(1)


def given() -> int:
    """How many threads there are for a command: as torch counts cores, or ``OMP_NUM_THREADS``."""
    return max(_given, torch.get_num_threads())


@contextmanager
def restored() -> Iterator[None]:
    """As many threads after this as before."""
    global _given
    before = torch.get_num_threads()
    try:
        yield
    finally:
        _given = 1
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
