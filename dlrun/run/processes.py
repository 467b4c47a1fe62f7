"""Several processes at work on one run.

The first process, of rank 0, is the program: it composes, has the folder, watches, writes and speaks. The others wait
until it hands a command to them, of which they compute their part. It hands it over by the store through which torch's
processes meet; what they compute goes through a process group, a new one for each command, so that a command that fails
leaves nobody waiting.
"""

from __future__ import annotations

import itertools
import math
import os
import pickle
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from dlrun import console, interrupt
from dlrun.command.verbs import VERBS
from dlrun.config.frozen import frozen
from dlrun.config.invocation import Invocation
from dlrun.errors import RunError
from dlrun.run.folder import Run
from dlrun.run.member import is_member

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

WATCHING = ("callback", "logger")
"""The sections of a config whose parts are at work in the first process alone."""
JUDGING = ("expect", "then")
"""Those that are about what the first process has recorded."""
PATIENCE = timedelta(days=1)
"""The first process may be at something of its own for long; the death of a process is noticed at once."""
LOOKS = 0.05
"""Seconds between two looks for a command."""
COMING = 600.0
"""Seconds within which the others, which may still be importing torch, must take a command."""
BEAT = 1.0
"""Seconds between two signs of life of a process that waits for a command."""
SILENCE = 10.0
"""Seconds without one after which it is gone; so much they may take, once all are there, to make a group."""
BUSY = b"busy"
"""The sign of life of one that works: its group notices its end."""
PARTING = 5.0
"""Seconds that the first process gives to the others to hear that there are no more."""
_commands = itertools.count()


@cache
def _store() -> Store:
    """Where the processes meet."""
    from torch.distributed.rendezvous import rendezvous

    if "TORCHELASTIC_RUN_ID" in os.environ:  # the parent is torchrun, and a process does not outlast it
        interrupt.belong_to(os.getppid())
    store: Store = next(rendezvous("env://", timeout=PATIENCE))[0]
    return store


@contextmanager
def together(config: DictConfig, invocation: Invocation) -> Iterator[None]:
    """Meanwhile the other processes, if there are any, work on the same command.

    Raises:
        RunError: one of them has ended, or failed.
    """
    if not is_member() or not VERBS[invocation.verb].parallel:
        yield
        return
    from dlrun.training.process_group import LostError

    store, number = _store(), next(_commands)
    plain = OmegaConf.to_container(config)  # with its references: what the data says is yet to come
    assert isinstance(plain, dict)
    for section in WATCHING:
        plain[section] = dict.fromkeys(plain.get(section) or {})
    plain |= {section: {} for section in JUDGING if section in plain}
    store.set(f"{number}", pickle.dumps((plain, invocation)).hex())
    ranks = range(1, int(os.environ["WORLD_SIZE"]))
    watch = Watch(store, ranks)
    try:
        _until(lambda: store.check([f"{number}/{rank}" for rank in ranks]) or watch.look(), COMING)
        store.set(f"{number}/go", "")
        with _group(store, number):
            yield
    except LostError as error:
        for rank in ranks:
            if store.check([f"{number}/{rank}/failed"]):
                raise RunError(store.get(f"{number}/{rank}/failed").decode()) from error
        raise RunError(f"{error}; the same command goes on from the last checkpoint") from error


def serve() -> int:
    """Help the first process with every command that it hands over; the exit status of this one."""
    console.terminal.quiet = True
    interrupt.hush()
    warnings.simplefilter("ignore")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return _serve(_store(), int(os.environ["RANK"]))
    except RuntimeError:  # of the store: the first process is gone, and that with it
        return 1


class Watch:
    """The first process's watch over the others until a group connects them, by their signs of life."""

    def __init__(self, store: Store, ranks: Sequence[int]) -> None:
        self.store, self.ranks = store, ranks
        self.heard: dict[int, tuple[bytes, float]] = {}
        """By rank the last sign of life, and when it was new."""

    def look(self) -> bool:
        """False, so that one goes on waiting.

        Raises:
            LostError: a process that has been there has given no sign of life for long.
        """
        from dlrun.training.process_group import LostError

        now = time.monotonic()
        for rank in self.ranks:
            if not self.store.check([f"alive/{rank}"]):
                continue  # it is not there yet
            beat = self.store.get(f"alive/{rank}")
            last, since = self.heard.get(rank, (b"", now))
            if beat != last or beat == BUSY:
                self.heard[rank] = (beat, now)
            elif now - since > SILENCE:
                raise LostError
        return False


def _serve(store: Store, rank: int) -> int:
    from dlrun.training.process_group import LostError  # before it says that it is there: what follows is quick

    beats = itertools.count()
    next_beat = 0.0

    def come(key: str) -> bool:
        nonlocal next_beat
        if time.monotonic() >= next_beat:
            store.set(f"alive/{rank}", f"{next(beats)}")
            next_beat = time.monotonic() + BEAT
        return store.check([key])

    for number in itertools.count():
        _until(lambda: come(f"{number}"))  # noqa: B023
        order = pickle.loads(bytes.fromhex(store.get(f"{number}").decode()))
        store.set(f"{number}/{rank}", "here")
        if order is None:
            return 0
        _until(lambda: come(f"{number}/go"))  # noqa: B023
        store.set(f"alive/{rank}", BUSY.decode())
        try:
            with tempfile.TemporaryDirectory() as folder, _group(store, number):
                _help(Path(folder), *order)
        except Exception as error:
            if not isinstance(error, LostError):
                where = f"process {rank + 1} of {os.environ['WORLD_SIZE']}"
                store.set(f"{number}/{rank}/failed", f"{where}: {str(error) or type(error).__name__}")
        except interrupt.Interrupted:
            pass  # the first process says so
    raise AssertionError


def _help(folder: Path, plain: dict[str, Any], invocation: Invocation) -> None:
    """Do the part of this process in a command; what it writes goes to a folder that nobody looks at."""
    from dlrun.compute import threads

    main = import_module(f"dlrun.command.{invocation.verb}").main
    with threads.restored():
        main(frozen(OmegaConf.create(plain)), Hand(folder, replace(invocation, folder=folder)))


class Hand(Run):
    """The run folder of a process that helps."""

    def save_config(self, config: DictConfig) -> None:
        """The first process does that."""


@contextmanager
def _group(store: Store, number: int) -> Iterator[None]:
    """The processes can send to each other; whoever leaves this, by an error too, ends it for all."""
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore

    from dlrun.training.process_group import broken_is_lost, let_go

    _within(
        SILENCE,
        lambda: dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore(f"group {number}", store),
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
            timeout=PATIENCE,
        ),
    )
    try:
        with interrupt.together(), broken_is_lost():
            yield
    except BaseException as error:
        let_go(error)
        raise
    else:
        let_go()
    finally:
        dist.destroy_process_group()


def _within(seconds: float, connect: Callable[[], object]) -> None:
    """Connect to the others, in a thread: torch's own patience is for all that follows, and must be long.

    Raises:
        LostError: one has ended meanwhile, or does not come.
    """
    from dlrun.training.process_group import LostError

    failed: list[Exception] = []

    def attempt() -> None:
        try:
            connect()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(LOOKS)  # mostly it takes no longer
    given_up = time.monotonic() + seconds
    _until(lambda: not thread.is_alive() or time.monotonic() > given_up)
    if failed and not isinstance(failed[0], RuntimeError):
        raise failed[0]
    if thread.is_alive() or failed:
        raise LostError from next(iter(failed), None)


def _until(come: Callable[[], bool], within: float = math.inf) -> None:
    """Wait, and look; signals are heard, and the end of the process that has started this one.

    Raises:
        RunError: it has not come within so many seconds.
    """
    given_up = time.monotonic() + within
    while not come():
        interrupt.check()
        if time.monotonic() > given_up:
            raise RunError(f"the other processes of this run have not come within {within:.0f} s")
        time.sleep(LOOKS)


def dismiss() -> None:
    """Tell the others that there are no more commands."""
    with suppress(Exception):  # they may be gone
        store, number = _store(), next(_commands)
        store.set(f"{number}", pickle.dumps(None).hex())
        given_up = time.monotonic() + PARTING
        names = [f"{number}/{rank}" for rank in range(1, int(os.environ["WORLD_SIZE"]))]
        while not store.check(names) and time.monotonic() < given_up:
            time.sleep(LOOKS)
