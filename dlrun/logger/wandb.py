"""Weights & Biases: ``logger=wandb``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dlrun import console
from dlrun.errors import UserError
from dlrun.logger import wandb_file
from dlrun.logger.logger import RemoteLogger, Status, Value, axis

Row = dict[str, float | str]
"""Values by tag, and that of their axis; a picture is its file, in the run's folder."""
AXES = ("epoch", "step")
RECENT = 1000
"""Rows that W&B's process may hold back: it writes a block of 32 KiB, of some hundred rows, or every few seconds."""
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
        self._recent: dict[int, Row] = {}
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
        """What W&B's files in the run's folder have; what a kill kept from them is written again."""
        taken: dict[str, int] = {}
        for file in sorted(self.folder.glob(f"wandb/*run-*-{id}/run-{id}.wandb")):
            for row in wandb_file.rows(file):
                self._rows = max(self._rows, int(row["_step"]) + 1)
                for tag in row:
                    if tag not in AXES and axis(tag) in row:
                        taken[tag] = max(taken.get(tag, -1), int(row[axis(tag)]))
        for number, lost in self._recent.items():
            if number >= self._rows:
                self._send(number, lost)
                for tag in lost.keys() - {*AXES}:
                    taken[tag] = max(taken.get(tag, -1), int(lost[axis(tag)]))
        self._rows = max([self._rows, *(number + 1 for number in self._recent)])
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
        assert self.entry
        new = self.new(values, step)
        for name in AXES:
            if own := {tag: value for tag, value in new.items() if axis(tag) == name}:
                self._row({**own, name: step})

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A picture, in a row of its own."""
        assert self.entry
        if self.is_new(name, step):
            self._row({name: str(file.relative_to(self.folder)), axis(name): step})

    def table(self, name: str, file: Path) -> None:
        """A file of the run."""
        self.entry.save(str(file), base_path=str(self.folder), policy="now")

    def text(self, tag: str, text: str) -> None:
        """In the run's summary."""
        self.entry.summary[tag] = text

    def state_dict(self) -> dict[str, Any]:
        """The id, and the last rows: W&B's process may hold them back for many seconds, and dies with this one."""
        return {**super().state_dict(), "recent": dict(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the id, and rows that W&B may have lost."""
        super().load_state_dict(state)
        if self._entry is None:
            self._recent = {int(number): row for number, row in state.get("recent", {}).items()}

    def close(self, status: Status) -> None:
        """End the run with the exit status that dlrun has."""
        if self._entry is None:
            return
        folder = Path(self._entry.dir).parent
        self._entry.finish(exit_code=EXIT_STATUS[status])
        if self.mode == "offline":
            console.say(f"to upload it to W&B: wandb sync {folder.parent}/*run-*-{self._id}")
        self._entry = None

    def _row(self, row: Row) -> None:
        """Write a row, and keep it among the last ones."""
        self._recent[self._rows] = row
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        self._send(self._rows, row)
        self._rows += 1

    def _send(self, number: int, row: Row) -> None:
        for tag in row.keys() - self._defined - {*AXES}:
            self._entry.define_metric(tag, step_metric=axis(tag))
            self._defined.add(tag)
        values = {
            tag: self._package.Image(str(self.folder / value)) if isinstance(value, str) else value
            for tag, value in row.items()
        }
        self._entry.log(values, step=number, commit=True)
