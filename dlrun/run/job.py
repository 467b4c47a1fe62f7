"""A command at work in its run folder: what happens before it, after it, and when it fails."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from omegaconf import DictConfig

from dlrun import console, interrupt
from dlrun.command.verbs import VERBS
from dlrun.config import schema, trust
from dlrun.config.invocation import Invocation
from dlrun.errors import RunError, UserError
from dlrun.experiment import claims, header
from dlrun.files import remove_leftovers, write_whole
from dlrun.run import processes, sweep_table
from dlrun.run.folder import LOG, RESULT, Run
from dlrun.run.follow_up import Call, follow

Main = Callable[[DictConfig, Run], dict[str, Any]]
"""A command: takes config and run, returns what goes into ``result.json``."""
WAIT = 10.0
"""Seconds that a job gives to a worker left by a killed sweep to end its step."""


def run_job(config: DictConfig, invocation: Invocation, call: Call) -> None:
    """Run a command in its folder, and record how it ended.

    A job of a sweep raises nothing but an interruption: what went wrong is in its ``result.json``, and the next one
    starts.

    Args:
        config: checked, but for a job of a sweep, which is checked here.
        invocation: how the command was called.
        call: runs what follows on it.

    Raises:
        UserError: there is another run in the folder, or the command has refused its input.
        RunError: the command failed, or a bound of ``expect`` is not met.
    """
    run = Run(invocation.folder, invocation)
    if not invocation.sweeping:
        _run(run, config, call)
        return
    with interrupt.at_work() as takes:
        if takes:
            _run(run, config, call, WAIT)


def _run(run: Run, config: DictConfig, call: Call, wait: float = 0) -> None:
    """Run the command, unless its folder says that there is nothing to do."""
    sweeping = run.invocation.sweeping
    if run.exists:
        if not (VERBS[run.invocation.verb].continues or sweeping or run.stopped_short):
            raise UserError(f"hydra.run.dir={run.path}: there is a run in this folder already; expected a new one")
        config = complete(schema.check(config))
        run.check_same(config)
        if is_done(run, config):
            _say_finished(run, config)
            return
    try:
        with run.locked(wait), console.log_to(run.path / LOG):
            remove_leftovers(run.path)
            if not VERBS[run.invocation.verb].trains:
                run.forget_events()
            _attempt(run, config, call)
    finally:
        if sweeping:
            with suppress(RunError):  # of a full disk the end of the sweep tells
                sweep_table.update(run.path.parent)


def is_done(run: Run, config: DictConfig) -> bool:
    """Whether the run in this folder has done all that a config asks for, which is checked and complete."""
    return run.is_finished(config) if VERBS[run.invocation.verb].continues else not run.stopped_short


def complete(config: DictConfig) -> DictConfig:
    """The config as its run saves it: with what it leaves to other files, such as the network of another run."""
    if not VERBS[config.verb].completes:
        return config
    found: DictConfig = import_module(f"dlrun.command.{config.verb}").complete(config)
    return found


def _say_finished(run: Run, config: DictConfig) -> None:
    """Say that there is nothing to do, and hold the result to the bounds, which may be new ones."""
    result, why = run.result, ""
    if run.ended_by_patience(config):
        patience = config.trainer.patience
        why = f", by trainer.patience={patience}; trainer.patience=N with N > {patience} goes on"
    console.say(f"finished already: {run.path}{why}")
    judged = claims.judge(claims.held_to(config, run.invocation.overrides), result)
    if judged != result.get("expect", []):
        run.write_result({**result, "expect": judged})
    _report(judged, run.invocation.sweeping)


def _attempt(run: Run, config: DictConfig, call: Call) -> None:
    """Run the command, and record how it ended."""
    invocation, continues = run.invocation, run.exists
    before = (run.path / RESULT).read_text() if (run.path / RESULT).exists() else None
    started = time.perf_counter()
    try:
        if invocation.sweeping and not continues:
            config = schema.check(config)
        trust.check_objects(config, config.get("run"), config.trust, invocation.reopened)
        config = config if continues else complete(config)
        run.begin(config)
        about = header.introduction(invocation.choices)
        if about and not (invocation.sweeping or continues):
            console.say(about)
        with interrupt.at_once():
            main: Main = import_module(f"dlrun.command.{invocation.verb}").main
            from dlrun.compute import threads  # torch is there now, and not before

            with threads.restored(), processes.together(config, invocation):
                result = main(config, run)
            if then := config.get("then"):
                # What follows reads this run, whose result is not whole before it has come to an end.
                run.save_result("running", time.perf_counter() - started, result)
                result["metrics"] = {**result["metrics"], **follow(then, run.path, call)}
    except BaseException as error:
        refused = isinstance(error, UserError) and not invocation.sweeping
        if refused and continues:  # what is in the folder already stays as it is
            if before is not None:
                write_whole(run.path / RESULT, before)
            raise
        if refused and run.withdraw():
            raise
        _record(run, error, time.perf_counter() - started)
    else:
        seconds = time.perf_counter() - started
        bounds = claims.held_to(config, invocation.overrides)
        result["expect"] = claims.judge(bounds, {**result, "seconds": seconds})
        run.save_result("completed", seconds, result)
        console.say(f"run folder: {run.path}")
        _report(result["expect"], invocation.sweeping)


def _record(run: Run, error: BaseException, seconds: float) -> None:
    """Write how the run failed; a sweep goes on, unless it was interrupted outside of a worker.

    Raises:
        BaseException: the error itself.
    """
    stopped = isinstance(error, (interrupt.Stopped, KeyboardInterrupt))
    if not stopped and not isinstance(error, (UserError, RunError)):
        console.note("".join(traceback.format_exception(error)))
    message = str(error) or type(error).__name__
    with suppress(RunError):  # the disk may be full, and the first error says more
        run.save_result("interrupted" if stopped else "failed", seconds, {"error": message})
    if (stopped and not interrupt.leave()) or not run.invocation.sweeping:
        raise error
    console.say(f"{run.path.name}: {message}" if stopped else f"failed: {message}")


def _report(judged: list[dict[str, Any]], sweeping: bool) -> None:
    """Print what was expected of a run beside what came out; a sweep goes on where it is not met.

    Raises:
        RunError: it is not met.
    """
    if not judged:
        return
    console.say(claims.table(judged))
    unmet = [row["metric"] for row in judged if not row["met"]]
    if unmet and not sweeping:
        raise RunError(f"expect: not met for {', '.join(unmet)}")
