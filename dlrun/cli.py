"""The command line: takes the verb, lets Hydra compose its config, runs the command, prints errors as one line.

Nothing here imports torch: help and errors of the config must come at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from dlrun import __version__, paths
from dlrun.config import help
from dlrun.errors import RunError, UserError, sentence, suggest

if TYPE_CHECKING:
    from dlrun.config.compose import Request

Made = TypeVar("Made")


def main() -> NoReturn:
    """Run the command line of this process and exit: 0 done, 1 failed, 2 wrong input, 130 or 143 interrupted."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help.overview())
        sys.exit(0)
    if arguments[0] == "--version":
        print(f"dlrun {__version__}")
        sys.exit(0)
    try:
        status = run_verb(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        report(error)
    except BaseException as error:
        from dlrun.interrupt import Interrupted

        if not isinstance(error, Interrupted):
            raise
        print(f"dlrun: {error}", file=sys.stderr)
        sys.exit(128 + error.signum)
    sys.exit(status)


def wants_traceback() -> bool:
    """Whether the environment asks for the traceback of errors."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def report(error: Exception) -> NoReturn:
    """Print an error as one line (a line for each fault of a config) and exit: 2 if it is the user's, else 1."""
    if wants_traceback():
        raise error
    message = str(error)
    if isinstance(error, OSError):
        message = sentence(error)
    elif not isinstance(error, (UserError, RunError)):
        message = f"{type(error).__name__}: {' '.join(message.split())} (HYDRA_FULL_ERROR=1 shows the traceback)"
    for line in message.splitlines():
        print(f"dlrun: {line}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UserError) else 1)


def run_verb(verb: str, arguments: list[str]) -> int:
    """Run a verb on the config that its arguments compose (Hydra's grammar and flags); the exit status.

    Raises:
        UserError: the command line or the config is wrong.
    """
    if verb not in paths.verbs():
        raise UserError(f"{verb}: no such verb; {suggest(verb, paths.verbs())}")
    if "--help" in arguments or "-h" in arguments:
        print(help.verb(verb, arguments))
        return 0
    sys.path.append(os.getcwd())  # a user's own model.py; last, so that it hides nothing
    from dlrun.config import compose
    from dlrun.run.job import run_job
    from dlrun.run.sweep import run_sweep

    job = partial(run_job, call=run_verb)
    request = understood(lambda: compose.parse(verb, arguments), None)
    with compose.FrontDoor.opened(request) as door:
        if understood(door.shows, request):
            return 0
        if door.sweeps():
            plan = understood(door.plan, request)
            return run_sweep(plan, lambda: understood(lambda: door.sweep(plan, job), request))
        failure = understood(lambda: door.run(job), request)
    if failure is not None:
        raise failure
    return 0


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
