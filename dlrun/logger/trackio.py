"""Trackio, a local dashboard: ``logger=trackio``."""

from __future__ import annotations

import contextlib
import importlib
import io
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlrun.logger.logger import RemoteLogger, Status, Value


class Trackio(RemoteLogger):
    """A run of Trackio, in its own folder (``TRACKIO_DIR``, else Hugging Face's cache); ``trackio show`` shows it.

    Args:
        project: of Trackio.
        group: of runs that belong together.
    """

    name = package = "trackio"

    def __init__(self, project: str = "dlrun", group: str | None = None) -> None:
        super().__init__()
        self.project, self.group = project, group

    @property
    def _storage(self) -> Any:
        """Trackio's database: its public interface does not give the rows."""
        return importlib.import_module("trackio.sqlite_storage").SQLiteStorage

    def new_id(self) -> str:
        """A name: Trackio finds runs by it."""
        return f"{self.title.replace('/', '_')}_{uuid.uuid4().hex[:6]}"

    def open(self, id: str, resumed: bool) -> Any:
        """A run of Trackio; a resumed one keeps the config that it has: Trackio takes a new one for it."""
        config = self._storage.get_run_config(self.project, id) or {} if resumed else self.config
        config = {key: value for key, value in config.items() if not key.startswith("_")}
        with contextlib.redirect_stdout(io.StringIO()):  # how to use Trackio
            return self._package.init(
                self.project, name=id, group=self.group, config=config, resume="allow", embed=False
            )

    def stored(self, id: str) -> dict[str, int]:
        """What Trackio's database has."""
        taken: dict[str, int] = {}
        for row in self._storage.get_logs(self.project, id):
            for tag in row.keys() - {"step", "timestamp"}:
                taken[tag] = max(taken.get(tag, -1), row["step"])
        return taken

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """Hyperparameters, beside the config; Trackio sends both with the first row."""
        self.entry.config.update(self.config | {"hparams": dict(hparams)})

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """A row."""
        entry = self.entry
        if new := self.new(values, step):
            entry.log(new, step=step)

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A picture."""
        entry = self.entry
        if self.is_new(name, step):
            entry.log({name: self._package.Image(str(file))}, step=step)

    def text(self, tag: str, text: str) -> None:
        """A report."""
        entry = self.entry
        if self.is_new(tag, 0):
            fence = "```"
            entry.log({tag: self._package.Markdown(f"{fence}\n{text}\n{fence}")}, step=0)

    def flush(self) -> None:
        """Write the rows now: Trackio's thread does so every half second."""
        if self._entry is not None:
            with self._entry._client_lock:
                self._entry._flush_queues_inline()

    def close(self, status: Status) -> None:
        """Note how the run ended, and write what is left."""
        if self._entry is None:
            return
        self._entry.log({"status": status})
        with contextlib.redirect_stdout(io.StringIO()):
            self._entry.finish()
        self._entry = None
