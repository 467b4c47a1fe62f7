"""The folders of runs and sweeps, and what a sweep is about to do."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dlrun.config.invocation import key
from dlrun.errors import UserError

LONGEST_NAME = 200  # of a job's folder, in characters; file systems take 255
SERIAL = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""The launcher that runs one job after the other."""
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
"""The launcher whose jobs run in worker processes of this one."""
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
"""The launcher whose jobs SLURM runs."""


def job_name(overrides: Sequence[str], constant: Collection[str] = ()) -> str:
    """The folder of a sweep's job: what it does not share with the others, in characters that need no quoting.

    Args:
        overrides: all of the job's.
        constant: the keys of those that are the same in all jobs.
    """
    own = sorted(text for text in overrides if key(text) not in constant)
    name = re.sub(r"[^\w.,+-]+", "-", "_".join(own)) or "all"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def choices(hydra: Any) -> dict[str, str]:
    """What is chosen, by group and several joined by commas, from Hydra's own part of a config; not its own groups."""
    return {
        str(group): ",".join(map(str, choice)) if OmegaConf.is_list(choice) else str(choice)
        for group, choice in hydra.runtime.choices.items()
        if choice is not None and not group.startswith("hydra/")
    }


def job_config(config: DictConfig) -> DictConfig:
    """The config without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])


@dataclass
class Plan:
    """A sweep.

    Args:
        full: its config, with Hydra's own part.
        swept: the keys that it varies.
        constant: those that it sets for all jobs alike.
    """

    full: DictConfig
    swept: list[str]
    constant: list[str]

    def __post_init__(self) -> None:
        self.config = job_config(self.full)
        self.verb = str(self.config.verb)
        self.folder = Path(self.full.hydra.sweep.dir)
        self.is_fresh = names_time(self.full.hydra.sweep)
        self.launcher = str(OmegaConf.select(self.full, "hydra.launcher._target_"))
        self.is_parallel = self.launcher != SERIAL

    def jobs(self) -> list[list[str]]:
        """The overrides of each job of a grid, in its order.

        Raises:
            UserError: it is no grid.
        """
        grid = [f"{name}={value}" for name, value in (self.full.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*grid, *self.full.hydra.overrides.task])
        if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in parsed):
            raise UserError("sweep.dry_run=true: the jobs of a search are not known before it; expected a grid")
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]

    @contextmanager
    def in_folder(self) -> Iterator[Path]:
        """Make the sweep's folder, a new one unless it is named; it is removed again if the sweep starts no job."""
        is_new = self.is_fresh or not self.folder.exists()
        with without_empty(self.folder):
            if self.is_fresh:
                self.folder = fresh(str(self.folder))
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                yield self.folder
            finally:
                if is_new and {file.name for file in self.folder.iterdir()} <= {"multirun.yaml", "sweep.yaml"}:
                    shutil.rmtree(self.folder)


def fresh(path: str) -> Path:
    """Make the folder, or the same with -2, -3, ... where it is taken: two runs of one second never share it."""
    for number in itertools.count(1):
        folder = Path(path if number == 1 else f"{path}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError


@contextmanager
def without_empty(folder: Path) -> Iterator[None]:
    """Remove again what of a folder and its parents is made meanwhile and stays empty."""
    absent = [each for each in (folder.absolute(), *folder.absolute().parents) if not each.exists()]
    try:
        yield
    finally:
        for each in absent:
            with suppress(OSError):  # it is not empty, or was never made
                each.rmdir()


def names_time(place: DictConfig) -> bool:
    """Whether a folder is named by the time, so that each run has a new one."""
    return "${now:" in str(OmegaConf.to_container(place)["dir"])  # type: ignore[index, call-overload]
