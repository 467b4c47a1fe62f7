"""How a command was called, beside its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Invocation:
    """What the command line says that no config holds.

    Args:
        verb: the command.
        folder: of the run.
        overrides: what the user typed, and in a sweep the values of the job; flags and Hydra's own keys left out.
        choices: by group what was chosen, such as ``lenet`` for ``model``; several choices are joined by commas.
            Groups that come from a run have the names that they had there.
        sweeping: whether the run is a job of a sweep.
        reopened: the groups that come from the run of ``run=DIR``.
    """

    verb: str
    folder: Path
    overrides: tuple[str, ...] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    sweeping: bool = False
    reopened: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The dotted keys and groups that the overrides set."""
        return tuple(key(override) for override in self.overrides)


def key(override: str) -> str:
    """The dotted key or group of an override."""
    return override.partition("=")[0].lstrip("+~")
