"""What a run records, recorded once: into the run's own files, and to every logger."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from dlrun import interrupt
from dlrun.errors import RunError
from dlrun.files import append, remove_leftovers, write_whole
from dlrun.logger.logger import Logger, Status, Value
from dlrun.record import curve_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.csv"


class Recorder:
    """Writes figures, tables, curves and metrics into a run's folder, and gives them to loggers.

    Files that grow (``metrics.csv``, ``curves/``, TensorBoard's events) are part of a checkpoint by their lengths
    (:meth:`state_dict`), and cut back to it. All others are written whole or not at all.

    As a context manager, it tells the loggers how the run ended.

    Args:
        folder: the run's folder; it exists.
        loggers: what else takes what is recorded.
        figures: the folder in it for figures.
    """

    def __init__(self, folder: Path, loggers: Sequence[Logger] = (), figures: str = "") -> None:
        self.folder, self.loggers, self.figures = folder, list(loggers), figures
        for logger in self.loggers:
            logger.folder = folder

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str],
        first: Collection[str],
        names: Collection[str],
        config: str,
    ) -> None:
        """What is known before the first step; once in a run's life.

        Args:
            hparams: hyperparameters by name; a name should have values of one type in all runs that are compared.
            metrics: exact tags of the scalars to compare runs by.
            first: the hyperparameters to show first.
            names: metrics that are measured on training and validation data, without the split.
            config: the whole config as YAML.
        """
        for logger in self.loggers:
            logger.begin(hparams, metrics, first, names, config)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves by tag, for the loggers.

        Args:
            values: by tag, such as ``train/loss``.
            step: the epoch for ``train/``, ``val/``, ``test/`` and ``best/``; else the optimizer step or a number.
        """
        for logger in self.loggers:
            logger.scalars(values, step)

    def epoch(self, row: Mapping[str, float], columns: Sequence[str]) -> None:
        """Append a row to ``metrics.csv``; for the loggers there is :meth:`scalars`.

        Args:
            row: values by column; a column without one stays empty.
            columns: all that rows of this run can have, in order.
        """
        file, text = self.folder / METRICS, io.StringIO(newline="")
        if unknown := row.keys() - set(columns):
            raise ValueError(f"no such columns: {', '.join(sorted(unknown))}")
        is_new = not file.exists() or not file.stat().st_size
        if not is_new:  # of an earlier version there may be fewer columns
            with file.open(newline="", encoding="utf-8") as stream:
                columns = next(csv.reader(stream))
        writer = csv.DictWriter(text, columns, extrasaction="ignore")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
        append(file, text.getvalue())

    def curve(self, name: str, axes: tuple[str, str], points: Sequence[tuple[float, float]]) -> None:
        """Append points to ``curves/NAME.csv``; a sweep draws the curves of one name of all its jobs together."""
        curve_file.append(curve_file.path(self.folder, name), axes, list(points))

    def figure(self, name: str, figure: Figure, step: int = 0) -> None:
        """Render a figure once, write it as ``NAME.png``, and give the same bytes to the loggers.

        Args:
            name: of the file, without its ending; it may begin with a folder.
            figure: what to render.
            step: when it was drawn; the file has the last figure of a name.
        """
        from dlrun.figure.slide import png  # matplotlib takes a moment to import

        content = png(figure)
        file = self.folder / self.figures / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content, sync=False)
        for logger in self.loggers:
            logger.figure(name, file, content, step)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``NAME.csv``, whole or not at all: a line for each row, with the columns of the first."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
        file = self.folder / f"{name}.csv"
        write_whole(file, text.getvalue(), sync=False)
        for logger in self.loggers:
            logger.table(name, file)

    def text(self, tag: str, text: str) -> None:
        """A text, for the loggers."""
        for logger in self.loggers:
            logger.text(tag, text)

    def graph(self, model: nn.Module, inputs: Tensor) -> None:
        """The model's graph, traced on a batch, for the loggers."""
        for logger in self.loggers:
            logger.graph(model, inputs)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        """A precision-recall curve for each class against all others, for the loggers.

        Args:
            probabilities: float (N, K).
            targets: int64 (N,).
            classes: the K names.
            step: of the model.
        """
        for logger in self.loggers:
            logger.pr_curves(probabilities, targets, classes, step)

    def embedding(self, features: Tensor, labels: Sequence[str], images: Tensor | None = None) -> None:
        """For the loggers vectors, float (N, F), with labels, and perhaps images, float (N, C, H, W) in [0,1]."""
        for logger in self.loggers:
            logger.embedding(features, labels, images)

    def success(self) -> None:
        """Mark the run as completed in the loggers' tables of runs."""
        for logger in self.loggers:
            logger.success()

    def state_dict(self) -> dict[str, Any]:
        """How long the files are that grow, by path in the run's folder, and what continues the loggers' entries."""
        for logger in self.loggers:
            logger.flush()
        return {
            "files": {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in self._growing()},
            "loggers": {logger.name: logger.state_dict() for logger in self.loggers},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the files that grow back to a :meth:`state_dict`, and remove those that came later.

        Checkpoints of before this class named files without their folder; they are understood too.
        """
        for logger in self.loggers:
            logger.load_state_dict(state.get("loggers", {}).get(logger.name, {}))
        self._cut({_with_folder(name): length for name, length in state["files"].items()})

    def clear(self) -> None:
        """Remove the files that grow: the run starts from nothing."""
        self._cut({})

    def close(self, status: Status = "completed") -> None:
        """Write out what is left, and tell the loggers how the run ended."""
        for logger in self.loggers:
            logger.close(status)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return self.close()
        stopped = isinstance(error, (interrupt.Stopped, KeyboardInterrupt))
        with suppress(RunError):  # the disk may be full, and the first error says more
            self.close("interrupted" if stopped else "failed")

    def _growing(self) -> Iterator[Path]:
        """The files that are appended to, those of earlier processes too."""
        yield from self.folder.glob(METRICS)
        yield from sorted((self.folder / curve_file.FOLDER).glob("*.csv"))
        for logger in self.loggers:
            yield from logger.files()

    def _cut(self, lengths: Mapping[str, int]) -> None:
        for logger in self.loggers:
            logger.rewind()
        for path in list(self._growing()):
            length = lengths.get(path.relative_to(self.folder).as_posix())
            if length is None:
                path.unlink()
            elif path.stat().st_size > length:
                os.truncate(path, length)
        remove_leftovers(self.folder)


def _with_folder(name: str) -> str:
    """The path of a file in the run's folder that an earlier checkpoint names without its folder."""
    is_curve = "/" not in name and name.endswith(".csv") and name != METRICS
    return f"{curve_file.FOLDER}/{name}" if is_curve else name
