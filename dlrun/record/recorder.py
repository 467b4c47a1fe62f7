"""The one recorder of a run: its files, and the same to all loggers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from matplotlib.figure import Figure
from torch import Tensor, nn

from dlrun.files import replacing, write_whole
from dlrun.logger.logger import Logger, Value
from dlrun.record import curve_file

METRICS = "metrics.csv"
DPI = 120


class Recorder:
    """Records scalars, figures, tables, curves and texts, each once.

    Files that it appends to are part of a run's state: a run that continues has them cut back to the length that they
    had at its checkpoint, so nothing stands there twice. Others are written whole or not at all.

    Args:
        folder: the run's.
        loggers: get the same.
        figures: the folder of figures in it; "" for the folder itself.
    """

    def __init__(self, folder: Path, loggers: Sequence[Logger] = (), figures: str = "") -> None:
        self.folder, self.loggers, self.figures = folder, loggers, folder / figures
        for logger in loggers:
            logger.open(folder)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def begin(
        self,
        hparams: Mapping[str, Value],
        metrics: Sequence[str] = (),
        first: Collection[str] = (),
        names: Sequence[str] = (),
        config: str = "",
    ) -> None:
        """Once in a run's life, before all else; see :meth:`dlrun.logger.logger.Logger.begin`."""
        for logger in self.loggers:
            logger.begin(hparams, metrics, first, names, config)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves, by tag."""
        for logger in self.loggers:
            logger.scalars(values, step)

    def epoch(self, row: Mapping[str, float], columns: Sequence[str]) -> None:
        """A row of ``metrics.csv``; columns that it lacks are left empty."""
        with (self.folder / METRICS).open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns)
            if stream.tell() == 0:
                writer.writeheader()
            writer.writerow(row)

    def curve(self, name: str, axes: tuple[str, str], points: Sequence[tuple[float, float]]) -> None:
        """Points of ``curves/NAME.csv``; a sweep draws the curves of one name together."""
        curve_file.append(curve_file.path(self.folder, name), axes, points)

    def figure(self, name: str, figure: Figure, step: int = 0) -> None:
        """A figure, rendered once: ``NAME.png``, the last of its name, and the same bytes to the loggers."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        png = buffer.getvalue()
        path = self.figures / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(png)
        width, height = (int.from_bytes(png[place : place + 4], "big") for place in (16, 20))
        for logger in self.loggers:
            logger.figure(name, png, (width, height), step)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """``NAME.csv``, with the columns of the first row."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / f"{name}.csv", text.getvalue())

    def text(self, tag: str, text: str) -> None:
        """A text in a fixed-width font."""
        for logger in self.loggers:
            logger.text(tag, text)

    def graph(self, model: nn.Module, inputs: Tensor) -> None:
        """A model's graph, traced on a batch."""
        for logger in self.loggers:
            logger.graph(model, inputs)

    def pr_curves(self, probabilities: Tensor, targets: Tensor, classes: Sequence[str], step: int) -> None:
        """A precision-recall curve for each class against all others; probabilities (N, K), targets (N,)."""
        for logger in self.loggers:
            logger.pr_curves(probabilities, targets, classes, step)

    def embedding(self, features: Tensor, labels: Sequence[str], images: Tensor) -> None:
        """Vectors (N, F), each with its label and its image, float (N, C, H, W) in [0,1]."""
        for logger in self.loggers:
            logger.embedding(features, labels, images)

    def success(self) -> None:
        """The run came to its end."""
        for logger in self.loggers:
            logger.success()

    def close(self) -> None:
        """At the end of the process, also when the run failed."""
        for logger in self.loggers:
            logger.close()

    def state_dict(self) -> dict[str, Any]:
        """The length of every file that is appended to, by its place in the folder; and the loggers' states."""
        files = {str(path.relative_to(self.folder)): path.stat().st_size for path in self._appended()}
        loggers = {type(logger).__name__: logger.state_dict() for logger in self.loggers}
        return {"files": files, "loggers": loggers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut the files back to these lengths, and remove those that came later."""
        lengths = dict(state["files"])
        for path in self._appended():
            name = str(path.relative_to(self.folder))
            length = lengths.get(name, lengths.get(path.name))  # by the bare name in runs of version 0.1
            if length is None:
                path.unlink()
            else:
                os.truncate(path, length)
        for logger in self.loggers:
            logger.load_state_dict(state["loggers"].get(type(logger).__name__, {}))

    def clear(self) -> None:
        """Remove all that was appended by a run that never came to a checkpoint."""
        for path in self._appended():
            path.unlink()

    def _appended(self) -> list[Path]:
        own = [*self.folder.glob(METRICS), *(self.folder / curve_file.FOLDER).glob("*.csv")]
        return [*own, *(path for logger in self.loggers for path in logger.files())]
