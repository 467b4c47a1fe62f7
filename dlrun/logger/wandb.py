"""Weights & Biases: ``logger=wandb``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dlrun import console
from dlrun.errors import UserError
from dlrun.logger import wandb_file
from dlrun.logger.logger import RemoteLogger, Status, Value, axis

EXIT_STATUS: dict[Status, int] = {"completed": 0, "failed": 1, "interrupted": 130}


class WandB(RemoteLogger):
    """A run of W&B, which keeps its own copy in the run's folder, in ``wandb/``.

    Every scalar is drawn against its own axis, ``step`` or ``epoch``: W&B's own counter only goes up. A continued run
    has another folder in ``wandb/`` with the same id; ``wandb sync`` takes all of them.

    Args:
        project: of W&B.
        entity: user or team; None is the account's own.
        mode: ``offline`` writes files that ``wandb sync`` uploads; ``online`` uploads at once.
        group: of runs that belong together.
        tags: to find the run by.
    """

    name = package = "wandb"

    def __init__(
        self,
        project: str = "dlrun",
        entity: str | None = None,
        mode: Literal["offline", "online"] = "offline",
        group: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.project, self.entity, self.mode, self.group, self.tags = project, entity, mode, group, tags or []
        self._rows = 0
        self._defined: set[str] = set()

    def open(self, id: str, resumed: bool) -> Any:
        """A run of W&B.

        Raises:
            UserError: W&B refuses it, such as without an account.
        """
        try:
            return self._package.init(
                project=self.project,
                entity=self.entity,
                mode=self.mode,
                group=self.group,
                tags=self.tags,
                id=id,
                name=self.title,
                dir=str(self.folder),
                config=self.config,
                resume="allow",
                reinit="create_new",
                settings=self._package.Settings(silent=True, console="off"),
            )
        except self._package.errors.Error as error:
            reason = " ".join(str(error).split())
            raise UserError(f"logger.wandb.mode={self.mode}: refused by W&B ({reason})") from None

    def stored(self, id: str) -> dict[str, int]:
        """What W&B's files in the run's folder have, of this process and earlier ones."""
        taken: dict[str, int] = {}
        for file in sorted(self.folder.glob(f"wandb/*run-*-{id}/run-{id}.wandb")):
            for row in wandb_file.rows(file):
                self._rows = max(self._rows, int(row["_step"]) + 1)
                for tag in row:
                    if axis(tag) in row:
                        taken[tag] = max(taken.get(tag, -1), int(row[axis(tag)]))
        return taken

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """The config is that of the run's folder; hyperparameters stand beside it."""
        self.entry.config.update({**self.config, "hparams": dict(hparams)}, allow_val_change=True)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """A row for each axis."""
        entry, new = self.entry, self.new(values, step)
        for name in ("epoch", "step"):
            if own := {tag: value for tag, value in new.items() if axis(tag) == name}:
                for tag in own.keys() - self._defined:
                    entry.define_metric(tag, step_metric=name)
                    self._defined.add(tag)
                self._row({**own, name: step})

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A picture, in a row of its own."""
        entry = self.entry
        if self.is_new(name, step):
            entry.define_metric(name, step_metric=axis(name))
            self._row({name: self._package.Image(str(file)), axis(name): step})

    def table(self, name: str, file: Path) -> None:
        """A file of the run."""
        self.entry.save(str(file), base_path=str(self.folder), policy="now")

    def text(self, tag: str, text: str) -> None:
        """In the run's summary."""
        self.entry.summary[tag] = text

    def flush(self) -> None:
        """Wait until W&B's own process has taken all rows."""
        if self._entry is not None:
            self._entry.summary.get("_step")

    def close(self, status: Status) -> None:
        """End the run with the exit status that dlrun has."""
        if self._entry is None:
            return
        folder = Path(self._entry.dir).parent
        self._entry.finish(exit_code=EXIT_STATUS[status])
        if self.mode == "offline":
            console.say(f"to upload it to W&B: wandb sync {folder.parent}/*run-*-{self._id}")
        self._entry = None

    def _row(self, values: Mapping[str, Any]) -> None:
        self.entry.log(dict(values), step=self._rows, commit=True)
        self._rows += 1
