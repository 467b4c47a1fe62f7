"""TensorBoard: curves, pictures, graph, config and hyperparameters, all in the entry of the run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback, StepLog
from dlrun.dataset.batch import inputs
from dlrun.figure.samples import samples
from dlrun.logger.board import Board

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


class TensorBoard(Callback):
    """Writes the run's events.

    Args:
        images: sample and most-wrong images in a grid; 0 draws no pictures.
        graph: draw the model's graph.
    """

    def __init__(self, images: int = 16, graph: bool = True) -> None:
        self.images, self.graph = images, graph
        self._board: Board | None = None

    @property
    def board(self) -> Board:
        """The page of the run in progress."""
        assert self._board is not None
        return self._board

    def on_fit_start(self, trainer: Trainer) -> None:
        """Write what is known before the first step; a run that continues has it already."""
        if self._board is None:
            self._board = Board(trainer.folder, self.images)
        if trainer.progress.step:
            return
        test = trainer.monitor.replace("val/", "test/")
        self.board.hparams(trainer.hparams, [_best(trainer), test], trainer.swept)
        self.board.layout(trainer.task.metric_names)
        self.board.text("config", (trainer.folder / "config.yaml").read_text())
        train = trainer.data.train
        if self.images:
            batch = next(train.pictures())
            images, targets = inputs(batch)[: self.images].cpu(), batch["target"][: self.images].cpu()
            names = [trainer.data.classes[index] for index in (targets.argmax(1) if targets.ndim > 1 else targets)]
            self.board.figure("samples", samples(images, names), 0)
        if self.graph:
            with warnings.catch_warnings():  # the tracer warns of every Python branch on a size
                warnings.simplefilter("ignore")
                trainer.model.eval()
                self.board.graph(trainer.model, inputs(next(train.epoch()))[:1])

    def on_log(self, trainer: Trainer, log: StepLog) -> None:
        """The loss of every step; what else there is, once for all of them."""
        for step, loss in log.losses.items():
            self.board.scalars({"step/loss": loss}, step)
        if not log.regular:
            return
        values = {"step/learning_rate": log.learning_rate, "step/images_per_second": log.images_per_second}
        if log.gradient_norm is not None:
            values["step/gradient_norm"] = log.gradient_norm
        self.board.scalars(values, trainer.progress.step)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """The epoch's metrics, by epoch."""
        self.board.scalars(metrics, trainer.progress.epoch)
        if trainer.progress.best is not None:
            self.board.scalars({_best(trainer): trainer.progress.best}, trainer.progress.epoch)

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """The test's metrics and pictures, and the mark that the run completed."""
        step = trainer.progress.best_epoch
        self.board.scalars(metrics, step)
        trainer.task.log_scores(self.board, scores, trainer.data.test, trainer.data.classes, step)
        self.board.success()

    def on_figure(self, trainer: Trainer, name: str, figure: Figure, step: int) -> None:
        """A figure, by step."""
        if self.images:
            self.board.figure(name, figure, step)

    def files(self, folder: Path) -> list[Path]:
        """The files of events."""
        if self._board is not None:
            self._board.flush()
        return list(folder.glob("events.out.tfevents.*"))

    def close(self) -> None:
        """Write out what is left."""
        if self._board is not None:
            self._board.close()


def _best(trainer: Trainer) -> str:
    """The tag of the best value so far of the monitored metric, such as ``best/val_accuracy``."""
    return "best/" + trainer.monitor.replace("/", "_")
