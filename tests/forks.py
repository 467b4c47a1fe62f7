"""Functions in processes of their own: forked, so that nothing has to be imported again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from dlrun import cli


def started(work: Callable[[], object], output: Path | None = None) -> BaseProcess:
    """A child at work; its ``exitcode`` after ``join`` is negative if a signal ended it.

    Args:
        work: what it does.
        output: a file for what it prints.
    """

    def quietly() -> None:
        torch.set_num_threads(1)  # the threads of the parent are not there any more
        with contextlib.ExitStack() as stack:
            if output is not None:
                stream = stack.enter_context(output.open("w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(stream))
            work()

    child = multiprocessing.get_context("fork").Process(target=quietly)
    child.start()
    return child


def status_of(work: Callable[[], object]) -> int | None:
    """Do it in a child, and wait for its end; its exit status, negative if a signal ended it."""
    child = started(work)
    child.join()
    return child.exitcode


def command(folder: Path, *arguments: str) -> int | None:
    """Run a command line of dlrun in a folder, in a child; its exit status. What it says goes to ``said.txt`` there."""

    def work() -> None:
        os.chdir(folder)
        sys.argv = ["dlrun", *arguments]
        cli.main()

    child = started(work, folder / "said.txt")
    child.join()
    return child.exitcode
