"""Commands in several processes, which are forked off this one: torch need not be imported again."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dlrun import cli

LONGEST = 300.0
"""Seconds after which a command has failed."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port: int = found.getsockname()[1]
    return port


def start(arguments: Sequence[str], folder: Path, count: int, threads: int = 1) -> list[int]:
    """The numbers of so many processes that begin to work on a command line in a folder, as torchrun starts them."""
    place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    sys.stdout.flush()
    return [_child(arguments, folder, place | {"RANK": str(rank)}, threads) for rank in range(count)]


def _child(arguments: Sequence[str], folder: Path, place: dict[str, str], threads: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        faulthandler.register(signal.SIGUSR1, file=(folder / "stacks.txt").open("a"))
        os.chdir(folder)
        os.environ.update(place)
        torch.set_num_threads(threads)
        sys.argv = ["dlrun", *arguments]
        sys.stdout = sys.stderr = (folder / "output.txt").open("a", buffering=1)
        cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def ended(children: Sequence[int], within: float = LONGEST) -> list[int]:
    """The exit statuses of processes, negative for signals; those that have not ended by then are killed."""
    statuses: dict[int, int] = {}
    given_up = time.monotonic() + within
    while len(statuses) < len(children):
        for child in set(children) - statuses.keys():
            if (found := os.waitpid(child, os.WNOHANG))[0]:
                statuses[child] = os.waitstatus_to_exitcode(found[1])
        if time.monotonic() > given_up:
            for child in set(children) - statuses.keys():
                os.kill(child, signal.SIGUSR1)  # where it waits: in stacks.txt
                time.sleep(0.5)
                os.kill(child, signal.SIGKILL)
            given_up = float("inf")
        time.sleep(0.01)
    return [statuses[child] for child in children]


def struck(
    children: Sequence[int], victim: int, signum: int, moment: Callable[[], bool], within: float = LONGEST
) -> tuple[list[int], float]:
    """The exit statuses of processes, one of which gets a signal; and the seconds until all had ended after it.

    Args:
        children: the processes.
        victim: the place of one of them.
        signum: the signal.
        moment: what becomes true when it is time.
        within: seconds, see :func:`ended`.
    """
    while not moment():
        if os.waitid(os.P_PID, children[0], os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return ended(children, within), 0.0
        time.sleep(0.002)
    os.kill(children[victim], signum)
    since = time.monotonic()
    return ended(children, within), time.monotonic() - since
