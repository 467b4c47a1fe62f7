"""The front door: from the words of a command line to a checked config and an invocation, by Hydra.

Apart from its neighbours (faults, the configs of earlier runs, the plan of a sweep) this alone knows Hydra's internals.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from dlrun import paths
from dlrun.config import saved, schema, unread
from dlrun.config.composed_once import compose_once
from dlrun.config.invocation import Invocation, key
from dlrun.config.plan import SERIAL, Plan, choices, fresh, job_config, job_name, names_time, without_empty
from dlrun.config.saved import Reopened, quoted
from dlrun.errors import UserError

OPEN = ("expect", "then")
"""Sections whose keys are the user's own."""

Job = Callable[[DictConfig, Invocation], None]


logging.getLogger("hydra").addHandler(logging.NullHandler())  # what it has to say is raised too, and said in a line
OmegaConf.register_new_resolver("job_name", job_name, replace=True)
OmegaConf.register_new_resolver("pick", lambda key, values: values[key], replace=True)


@dataclass(frozen=True)
class Request:
    """A command line, parsed.

    Args:
        verb: the command.
        flags: Hydra's flags.
        typed: the overrides as they were typed.
        overrides: all, in Hydra's grammar, those of the run of ``run=DIR`` included.
        reopened: what comes from that run.
    """

    verb: str
    flags: argparse.Namespace
    typed: tuple[str, ...]
    overrides: tuple[str, ...]
    reopened: Reopened


def parse(verb: str, arguments: Sequence[str]) -> Request:
    """Parse what follows the verb: Hydra's flags and overrides, in any order.

    Raises:
        UserError: a flag is wrong, or the run of ``run=DIR`` cannot be opened.
        HydraException: an override is not in Hydra's grammar.
    """

    def fail(message: str) -> NoReturn:
        raise UserError(" ".join(message.split()) + "; see --help")

    parser = get_args_parser()
    parser.error = fail  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(list(arguments))
    words = list(flags.overrides)
    if verb == "reproduce":  # the one verb that takes bare words, the names of experiments
        names = [word for word in words if "=" not in word and not word.startswith("~")]
        words = [word for word in words if word not in names]
        words += [f"experiments={quoted(names)}"] if names else []
    given = OverridesParser.create().parse_overrides(words)
    groups = saved.groups_of(verb)
    by_key = {override.key_or_group: override for override in given}
    reopened = saved.reopen(verb, by_key, flags.config_dir)
    # 'last' is the same run to whoever looks later:
    run = quoted(str(reopened.run))
    texts = [f"run={run}" if one.input_line == "run=last" else _opened(one, groups) for one in given]
    if "run" not in by_key and "input" in by_key and by_key["input"].value() is not None and "dataset" not in by_key:
        texts.append("dataset=imagenet")  # photos; and a model without a run or dataset is torchvision's
    return Request(verb, flags, tuple(words), (*texts, *reopened.overrides), reopened)


def _opened(override: Override, groups: Collection[str]) -> str:
    """The text of an override as Hydra takes it: new keys only with ++, and no null for a group."""
    text = override.input_line or ""
    if override.type != OverrideType.CHANGE:
        return text
    if override.key_or_group in groups and override.package is None and override.value() is None:
        return f"~{override.key_or_group}"
    return f"++{text}" if override.key_or_group.split(".")[0] in OPEN else text


@contextmanager
def hydra_of(config_dir: str | None = None, configs: str | None = None) -> Iterator[Hydra]:
    """Hydra with the search path of dlrun's configs.

    Args:
        config_dir: a folder with more of them.
        configs: a folder in their place.
    """
    version.setbase("1.3")
    search_path = create_config_search_path(str(Path(configs or paths.configs()).absolute()))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"--config-dir={config_dir}: no such folder")
        place = f"file://{Path(config_dir).absolute()}"
        search_path.prepend("command-line", place, SearchPathQuery(provider="schema"))
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2("dlrun", search_path)
    finally:
        GlobalHydra.instance().hydra = outer


def compose(verb: str, overrides: Sequence[str] = (), config_dir: str | None = None) -> tuple[DictConfig, Invocation]:
    """The checked config and the invocation of a command line that runs no sweep; nothing is made or run.

    Raises:
        UserError: the config is wrong.
        HydraException: it cannot be composed.
    """
    with FrontDoor.opened(parse(verb, [*overrides, *(["--config-dir", config_dir] if config_dir else [])])) as door:
        return door.compose()


def unresolved(verb: str, overrides: Sequence[str]) -> DictConfig:
    """The config of a command line as it is composed: not checked, its references not followed.

    Raises:
        HydraException: it cannot be composed.
    """
    with FrontDoor.opened(parse(verb, overrides)) as door:
        return job_config(door._full(RunMode.RUN))


class FrontDoor:
    """A request with the Hydra that composes it; made by :meth:`opened`."""

    def __init__(self, request: Request, hydra: Hydra) -> None:
        self.request, self.hydra = request, hydra
        self.overrides = list(request.overrides)
        self.name = request.flags.config_name or request.verb
        # What sweeps() has composed, or why it could not, if it turned out to be a single run:
        self._single: DictConfig | Exception | None = None
        self.folder: Path | None = None  # of the single run, once that began

    @classmethod
    @contextmanager
    def opened(cls, request: Request) -> Iterator[FrontDoor]:
        """With Hydra's global state, and what it makes of Python's logging, as it was before at the end."""
        before, root = HydraConfig.instance().cfg, logging.getLogger()
        level, handlers = root.level, list(root.handlers)
        with hydra_of(request.flags.config_dir, request.flags.config_path) as hydra:
            try:
                yield cls(request, hydra)
            finally:
                HydraConfig.instance().cfg = before
                root.setLevel(level)
                root.handlers[:] = handlers

    def sweeps(self) -> bool:
        """Whether the command is a sweep: by its flag, or as ``hydra.mode`` says."""
        if self.request.flags.multirun:
            return True
        typed = OverridesParser.create().parse_overrides(self.overrides)
        mode = RunMode.MULTIRUN if any(override.is_sweep_override() for override in typed) else RunMode.RUN
        try:
            config = self.hydra.compose_config(self.name, self.overrides, mode, validate_sweep_overrides=False)
        except (HydraException, ValueError) as error:  # which comes as an error when the run is composed
            self._single = error if mode == RunMode.RUN else None
            return False
        if config.hydra.mode == RunMode.MULTIRUN:
            return True
        self._single = config if mode == RunMode.RUN else None
        return False

    def single(self) -> DictConfig:
        """The config of a single run with Hydra's own part, as it is composed."""
        return self._full(RunMode.RUN)

    def compose(self) -> tuple[DictConfig, Invocation]:
        """The checked config of a single run, and its invocation; its folder is not made yet."""
        full = self._full(RunMode.RUN)
        config = schema.check(job_config(full))
        unread.check(self.request.typed, full)
        return config, invocation(self.request, full.hydra, full.hydra.run.dir)

    def run(self, job: Job) -> Exception | None:
        """Run a command on the config, once that is checked; its folder is a new one unless it is named.

        Returns:
            What the command raised.

        Raises:
            UserError: the config is wrong; no folder was made.
        """
        full = self._full(RunMode.RUN)
        config = schema.check(job_config(full))
        unread.check(self.request.typed, full)
        if config.sweep.dry_run:
            raise UserError("sweep.dry_run=true: no sweep; expected the flag -m")
        if launcher := next((text for text in self.request.typed if key(text) == "hydra/launcher"), None):
            raise UserError(f"{launcher}: no sweep, so that it would start nothing; expected the flag -m")
        task, context = Task(self.request, job, config), self._context(full)
        with without_empty(Path(full.hydra.run.dir)):
            if names_time(full.hydra.run):
                _set(full, "hydra.run.dir", str(fresh(full.hydra.run.dir)))
            self.folder = Path(full.hydra.run.dir)
            context.callbacks.on_run_start(config=full, config_name=self.name)
            ended = run_job(task, full, "hydra.run.dir", None, context)
            context.callbacks.on_run_end(config=full, config_name=self.name, job_return=ended)
        return task.failure

    def plan(self) -> Plan:
        """What a sweep is about to do; nothing is made or run yet."""
        full = self._full(RunMode.MULTIRUN)
        typed = OverridesParser.create().parse_overrides(list(full.hydra.overrides.task))
        varied = [override.key_or_group for override in typed if override.is_sweep_override()]
        swept = [*dict.fromkeys([*varied, *(full.hydra.sweeper.get("params") or {})])]
        constant = [override.key_or_group for override in typed if override.key_or_group not in swept]
        unread.check(self.request.typed, full, swept)
        return Plan(full, swept, constant)

    def sweep(self, plan: Plan, job: Job, prepare: Callable[[Any, Plan], None]) -> Exception | None:
        """Run the jobs of a plan in its folder, which exists.

        Args:
            plan: the sweep.
            job: the command.
            prepare: makes a launcher ready for what may happen to its jobs.

        Returns:
            What a job raised, in this process.
        """
        full = plan.full
        # The jobs are composed from these overrides:
        values = {
            "hydra.sweep.dir": quoted(str(plan.folder)),
            "hydra.job.config.override_dirname.exclude_keys": quoted(plan.constant),
        }
        with read_write(full.hydra):
            full.hydra.overrides.hydra.extend([f"{name}={value}" for name, value in values.items()])
        _set(full, "hydra.sweep.dir", str(plan.folder))
        _set(full, "hydra.job.config.override_dirname.exclude_keys", plan.constant)

        task = Task(self.request, job)
        context = self._context(full)
        context.callbacks.on_multirun_start(config=full, config_name=self.name)
        sweeper = Plugins.instance().instantiate_sweeper(config=full, hydra_context=context, task_function=task)
        prepare(sweeper.launcher, plan)
        if plan.launcher == SERIAL:
            compose_once(sweeper, context.config_loader)
        try:
            sweeper.sweep(arguments=list(full.hydra.overrides.task))
        except OSError as error:  # Hydra writes this file in place, and a failing write names none
            file = plan.folder / "multirun.yaml"
            file.unlink(missing_ok=True)
            error.filename = error.filename or str(file)
            raise
        context.callbacks.on_multirun_end(config=full, config_name=self.name)
        return task.failure

    def _full(self, mode: RunMode) -> DictConfig:
        """The config with Hydra's own part."""
        made = self._single if mode == RunMode.RUN else None
        if isinstance(made, Exception):
            raise made
        if made is not None:
            full = made
            _set(full, "hydra.mode", mode)
            if (text := f"hydra.mode={mode.name}") not in full.hydra.overrides.hydra:
                full.hydra.overrides.hydra.append(text)
            configure_log(full.hydra.hydra_logging, full.hydra.verbose)
        else:
            overrides = [*self.overrides, f"hydra.mode={mode.name}"]
            full = self.hydra.compose_config(self.name, overrides, mode, with_log_configuration=True)
        HydraConfig.instance().set_config(full)  # so that ${hydra:...} resolves
        return full

    def _context(self, full: DictConfig) -> HydraContext:
        return HydraContext(config_loader=self.hydra.config_loader, callbacks=Callbacks(full))


class Task:
    """What Hydra calls for a run, or for each job of a sweep.

    Args:
        request: the command line.
        job: the command.
        config: the checked config of a single run; the jobs of a sweep check their own.
    """

    def __init__(self, request: Request, job: Job, config: DictConfig | None = None) -> None:
        self.request, self.job, self.config = request, job, config
        self.failure: Exception | None = None

    def __call__(self, config: DictConfig) -> None:
        """Run the command; what it raises is kept, for Hydra would print a line of its own."""
        hydra = HydraConfig.get()
        called = invocation(self.request, hydra, hydra.runtime.output_dir)
        try:
            self.job(self.config or config, called)
        except Exception as error:
            self.failure = self.failure or error


def invocation(request: Request, hydra: Any, folder: str) -> Invocation:
    """The invocation of a run, from what was asked for and Hydra's own part of the config."""
    typed = {key(text) for text in request.typed}
    added = {key(text) for text in request.overrides} - typed
    reopened = request.reopened.choices
    sweeping = hydra.mode == RunMode.MULTIRUN
    texts = (
        hydra.overrides.task
        if sweeping
        else [text for text in request.typed if not key(text).startswith(("hydra.", "hydra/"))]
    )
    return Invocation(
        verb=request.verb,
        folder=Path(os.path.abspath(folder)),
        overrides=tuple(text for text in texts if key(text) not in added),
        choices={**choices(hydra), **reopened},
        sweeping=sweeping,
        reopened=tuple(reopened),
    )


def _set(config: DictConfig, name: str, value: Any) -> None:
    """Set a key of Hydra's own part, which is read-only once it is in use."""
    with read_write(config.hydra), open_dict(config.hydra):
        OmegaConf.update(config, name, value)
