"""MLflow: ``logger=mlflow``."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from dlrun.errors import UserError
from dlrun.logger.logger import RemoteLogger, Status, Value

MOST = 1000
"""Points in one request: MLflow takes no more."""
SECONDS = 5.0
"""The longest that a point waits for others."""
STATUS: dict[Status, str] = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
SQLITE = "sqlite:///"


class MLflow(RemoteLogger):
    """A run of MLflow; points are sent many at a time, and all before a checkpoint.

    Args:
        experiment: of MLflow; made where there is none of the name.
        tracking_uri: a database (``sqlite:///PATH``) or a server (``http://...``).
        artifacts: the folder for the files of a new experiment; None leaves it to the server.
    """

    name = package = "mlflow"

    def __init__(
        self,
        experiment: str = "dlrun",
        tracking_uri: str = "sqlite:///runs/mlflow.db",
        artifacts: str | None = "runs/mlartifacts",
    ) -> None:
        super().__init__()
        self.experiment, self.tracking_uri, self.artifacts = experiment, tracking_uri, artifacts
        self._points: list[Any] = []
        self._sent = time.monotonic()
        self._client: Any = None

    def open(self, id: str, resumed: bool) -> Any:
        """The client; the run has the id that MLflow gave it in :meth:`new_id`."""
        if resumed:
            self.client.update_run(id, status="RUNNING")
        return self.client

    @property
    def client(self) -> Any:
        """The connection to the store; made when it is first asked for.

        Raises:
            UserError: there is none.
        """
        if self._client is None:
            try:
                with self._first():
                    client = self._package.MlflowClient(self.tracking_uri)
                    client.search_experiments(max_results=1)
            except self._package.exceptions.MlflowException as error:
                reason = str(error).splitlines()[0]
                raise UserError(f"logger.mlflow.tracking_uri={self.tracking_uri}: {reason}") from None
            self._client = client
        return self._client

    def new_id(self) -> str:
        """That of a new run of the experiment."""
        client = self.client
        with self._first():
            found = client.get_experiment_by_name(self.experiment)
            place = None if self.artifacts is None else Path(self.artifacts).absolute().as_uri()
            number = found.experiment_id if found else client.create_experiment(self.experiment, place)
        run: str = client.create_run(number, run_name=self.title).info.run_id
        if (file := self.folder / "config.yaml").exists():
            client.log_artifact(run, str(file))
        return run

    def stored(self, id: str) -> dict[str, int]:
        """What the store has."""
        tags = self.client.get_run(id).data.metrics
        return {tag: max(point.step for point in self.client.get_metric_history(id, tag)) for tag in tags}

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """Hyperparameters are MLflow's parameters, which never change; the config is a file."""
        client = self.entry
        known = client.get_run(self._id).data.params
        param = self._package.entities.Param
        client.log_batch(
            self._id, params=[param(key, str(value)) for key, value in hparams.items() if key not in known]
        )
        client.log_text(self._id, config, "config.yaml")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Keep the points, to send them with others."""
        assert self.entry
        metric, now = self._package.entities.Metric, int(time.time() * 1000)
        self._points += [metric(tag, float(value), now, step) for tag, value in self.new(values, step).items()]
        if len(self._points) >= MOST or time.monotonic() - self._sent > SECONDS:
            self.flush()

    def figure(self, name: str, file: Path, png: bytes, step: int) -> None:
        """A file of the run, in the folder that it has in the run's folder: the last of its name."""
        self._file(file)

    def table(self, name: str, file: Path) -> None:
        """A file of the run."""
        self._file(file)

    def text(self, tag: str, text: str) -> None:
        """A file of the run."""
        self.entry.log_text(self._id, text, f"{tag}.txt")

    def flush(self) -> None:
        """Send the points."""
        while self._points:
            self.entry.log_batch(self._id, metrics=self._points[:MOST])
            self._points = self._points[MOST:]
        self._sent = time.monotonic()

    def close(self, status: Status) -> None:
        """Send what is left, and end the run."""
        if self._entry is None:
            return
        self.flush()
        self._entry.set_terminated(self._id, STATUS[status])
        self._entry = None

    def _file(self, file: Path) -> None:
        folder = file.relative_to(self.folder).parent.as_posix()
        self.entry.log_artifact(self._id, str(file), None if folder == "." else folder)

    @contextmanager
    def _first(self) -> Iterator[None]:
        """Let one process at a time make the tables of a new database, or the experiment."""
        if not self.tracking_uri.startswith(SQLITE):
            yield
            return
        database = Path(self.tracking_uri.removeprefix(SQLITE))
        database.parent.mkdir(parents=True, exist_ok=True)
        for name in ("mlflow.store.db.utils", "alembic"):  # a page of lines about tables
            logging.getLogger(name).setLevel(logging.WARNING)
        with FileLock(f"{database}.lock"):
            yield
