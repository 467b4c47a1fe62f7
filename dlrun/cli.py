"""The command line: takes the verb, lets Hydra compose its config, runs the command, prints errors as one line.

Nothing here imports torch: help and errors of the config must come at once.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from dlrun import __version__, interrupt
from dlrun.config import help, shipped
from dlrun.errors import RunError, UserError, of_device, sentence
from dlrun.run import member, output

TYPE_CHECKING = False  # as typing's own, which takes a moment to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import NoReturn, TypeVar

    from dlrun.config.compose import Request

    Made = TypeVar("Made")

SHOWING = ("-c", "--cfg", "-i", "--info", "--hydra-help")
"""Flags that print something in place of a run."""


def main() -> NoReturn:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 wrong input, 130 or 143 interrupted."""
    output.tolerate()
    if member.is_member():
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # lost connections are told in a line
    try:
        with interrupt.at_once(last=True):
            status = helped() if member.is_hand() else run(sys.argv[1:])
    except interrupt.Stopped as error:
        print(f"dlrun: {error}", file=sys.stderr)
        sys.exit(128 + error.signum)
    except Exception as error:
        report(error)
    finally:
        dismiss()
    if reason := output.lost():
        print(f"dlrun: {reason}", file=sys.stderr)
        status = status or 1
    sys.exit(status)


def helped() -> int:
    """Help the first of several processes until it needs no more; the exit status."""
    from dlrun.run import processes

    try:
        return processes.serve()
    except interrupt.Stopped as error:  # the first process says so
        return 128 + error.signum


def dismiss() -> None:
    """Let the processes that help this one, if it is the first of several, end."""
    if member.is_member() and not member.is_hand():
        from dlrun.run import processes

        processes.dismiss()


def wants_traceback() -> bool:
    """Whether the environment asks for the traceback of errors."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def report(error: Exception) -> NoReturn:
    """Print an error as one line (a line for each fault of a config) and exit: 2 if it is the user's, else 1."""
    if wants_traceback():
        raise error
    error = of_device(error)
    message = str(error)
    if isinstance(error, OSError):
        message = sentence(error)
    elif not isinstance(error, (UserError, RunError)):
        message = f"{type(error).__name__}: {' '.join(message.split())} (HYDRA_FULL_ERROR=1 shows the traceback)"
    for line in message.splitlines():
        print(f"dlrun: {line}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UserError) else 1)


def run(arguments: list[str]) -> int:
    """Run a command line; the exit status.

    Raises:
        UserError: it is wrong.
    """
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if verb in ("-h", "--help", "help"):
        print(help.topic(rest[0], rest[1:]) if rest else help.overview())
    elif "--version" in (verb, *rest):
        print(f"dlrun {__version__}")
    elif verb == "completion":
        from dlrun.config import completion

        print(completion.answer(rest))
    elif verb == "tensorboard" and not {"-h", "--help"} & {*rest}:
        from dlrun.logger import board

        board.serve(rest)
    elif verb == "tensorboard":
        print(help.TENSORBOARD)
    elif verb not in shipped.verbs():
        from dlrun.config import beginnings

        raise UserError(beginnings.meant(verb, rest))
    elif topics := [place for place, word in enumerate(rest) if word in ("-h", "--help", "help")]:
        after = rest[topics[0] + 1 :]
        about = after[0] if after and not after[0].startswith("-") else ""
        print(help.section(verb, about, rest) if about else help.verb(verb, rest))
    elif verb == "reproduce" and rest in ([], ["list"], ["--list"]):
        print(help.experiments())
    elif verb == "lesson" and not rest:
        print(help.lessons())
    else:
        status, folder = perform(verb, rest)
        if folder is not None and not member.is_member():
            from dlrun.run import closing

            closing.say(verb, folder)
        return status
    return 0


def run_verb(verb: str, arguments: list[str]) -> int:
    """Run a verb on the config that its arguments compose; the exit status. See :func:`perform`."""
    return perform(verb, arguments)[0]


def perform(verb: str, arguments: list[str]) -> tuple[int, Path | None]:
    """Run a verb on the config that its arguments compose (Hydra's grammar and flags).

    Returns:
        The exit status, and the folder of the run or the sweep; None where nothing was to be run.

    Raises:
        UserError: the command line or the config is wrong.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's own model.py; last, so that it hides nothing
    from dlrun.config.meant import meant

    words = meant(verb, arguments)
    from dlrun import console

    if not any(word.startswith(SHOWING) for word in words):
        console.wait("loading")
    try:
        return _performed(verb, arguments, words)
    finally:
        console.rest()


def _performed(verb: str, arguments: list[str], words: list[str]) -> tuple[int, Path | None]:
    """The same with words that were read as they were meant."""
    from dlrun.config import compose, shown
    from dlrun.run import launcher
    from dlrun.run.closing import telling
    from dlrun.run.job import run_job
    from dlrun.run.parallel import prepare
    from dlrun.run.sweep import run_sweep

    job = partial(run_job, call=run_verb)
    request = understood(lambda: compose.parse(verb, words), None)
    with compose.FrontDoor.opened(request) as door:
        if understood(lambda: shown.shows(door), request):
            return 0, None
        say_taken(request, arguments, words)
        if door.sweeps():
            plan = understood(door.plan, request)
            launcher.check_sweep(plan)
            with telling(verb, lambda: plan.folder):
                status = run_sweep(plan, lambda: understood(lambda: door.sweep(plan, job, prepare), request))
            return status, None if plan.config.sweep.dry_run else plan.folder
        if (count := understood(lambda: launcher.devices(door), request)) > 1:
            return launcher.launch(door, words, count), door.folder
        with telling(verb, lambda: door.folder):
            failure = understood(lambda: door.run(job), request)
    if failure is not None:
        raise failure
    return 0, door.folder


def say_taken(request: Request, typed: list[str], words: list[str]) -> None:
    """Say what a command line was taken for, where that is not what it says."""
    if words != typed:
        import shlex

        print(f"taken as: dlrun {request.verb} {shlex.join(words)}")
    if any(word == "run=last" for word in words):
        print(f"run=last: {request.reopened.run}")


def understood(call: Callable[[], Made], request: Request | None) -> Made:
    """Call a part of the front door, with what Hydra has against the command line as lines that help.

    Args:
        call: what may raise an exception of Hydra or OmegaConf, by which no command has begun.
        request: the command line; None where it could not be parsed.

    Raises:
        UserError: in the place of another exception.
    """
    try:
        return call()
    except (UserError, RunError):
        raise
    except Exception as error:
        if wants_traceback():
            raise
        from dlrun.config import faults

        raise UserError("\n".join(faults.lines(error, request))) from None
