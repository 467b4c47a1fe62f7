"""Whether this process is one of several that work together. No torch here, nor anything else that takes a moment."""

from __future__ import annotations

import os

from dlrun import interrupt

PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables by which torchrun tells a process which of how many it is."""


def is_member() -> bool:
    """Whether this is one of several processes that work together."""
    together = all(name in os.environ for name in PLACE) and int(os.environ["WORLD_SIZE"]) > 1
    return together and interrupt.worker_number() is None


def is_hand() -> bool:
    """Whether this process helps the first one, of rank 0."""
    return is_member() and os.environ["RANK"] != "0"
