"""The command line: takes the verb, lets Hydra compose its config, runs the command, prints errors as one line.

Nothing here imports torch: help and errors of the config must come at once.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import NoReturn

from dlrun import __version__, paths
from dlrun.config import help
from dlrun.errors import RunError, UserError, sentence, suggest


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
        run_verb(arguments[0], arguments[1:])
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
    sys.exit(0)


def report(error: Exception) -> NoReturn:
    """Print an error as one line (a line for each fault of a config) and exit: 2 if it is the user's, else 1."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    message = str(error)
    if isinstance(error, OSError):
        message = sentence(error)
    elif not isinstance(error, (UserError, RunError)):
        message = f"{type(error).__name__}: {' '.join(message.split())} (HYDRA_FULL_ERROR=1 shows the traceback)"
    for line in message.splitlines():
        print(f"dlrun: {line}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UserError) else 1)


def run_verb(verb: str, arguments: list[str]) -> None:
    """Compose the verb's config from the arguments (Hydra's grammar and flags) and run its command."""
    if verb not in paths.verbs():
        raise UserError(f"{verb}: no such verb; {suggest(verb, paths.verbs())}")
    if "--help" in arguments or "-h" in arguments:
        print(help.verb(verb, arguments))
        return
    sys.path.append(os.getcwd())  # a user's own model.py; last, so that it hides nothing
    import hydra
    from omegaconf import DictConfig

    from dlrun import interrupt
    from dlrun.config import compose

    failures: list[Exception] = []

    def job(config: DictConfig) -> None:
        from dlrun.run.folder import run_job

        try:
            run_job(import_module(f"dlrun.command.{verb}").main, config)
        except Exception as error:  # raised below: Hydra would print a line of its own
            failures.append(error)

    if verb == "reproduce":  # the one verb that takes bare words, the names of experiments
        words = list(itertools.takewhile(lambda argument: re.fullmatch(r"[\w*?]+", argument), arguments))
        quoted = ",".join(map(compose.quoted, words))
        arguments = [f"experiments=[{quoted}]"] * bool(words) + arguments[len(words) :]
    # Sections whose keys are the user's: Hydra takes new keys only with ++ before them.
    arguments = [re.sub(r"^(?=(expect|then)[.=])", "++", argument) for argument in arguments]
    arguments += compose.overrides_of_run(verb, arguments)
    # Hydra's parser takes overrides only in one piece: here they may stand before, after and between its flags.
    flags = [argument for argument in arguments if not re.match(r"~|[^-].*=", argument)]
    sys.argv = [f"dlrun {verb}", *[argument for argument in arguments if argument not in flags], *flags]
    compose.check_flags(sys.argv[1:])
    # Hydra would print its own errors, and exit with 1: with this it raises them.
    with_traceback = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    parallel = "hydra/launcher=joblib" in arguments
    try:
        with interrupt.forwarding() if parallel else nullcontext():
            hydra.main(config_path=str(paths.configs()), config_name=verb, version_base="1.3")(job)()
    except Exception as error:
        if with_traceback:
            raise
        compose.withdraw()
        raise UserError("\n".join(compose.faults(error, verb, arguments))) from None
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if with_traceback else "0"
    if failures:
        raise failures[0]
