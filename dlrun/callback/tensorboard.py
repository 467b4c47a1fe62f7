"""What TensorBoard, or another logger, shows besides curves: sample images, the graph, the test's pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs

if TYPE_CHECKING:
    from dlrun.dataset.data import Data
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


class TensorBoard(Callback):
    """Records pictures of the data, of the model and of the test.

    Args:
        images: sample and most-wrong images in a grid; 0 draws no pictures.
        graph: draw the model's graph.
    """

    def __init__(self, images: int = 16, graph: bool = True) -> None:
        self.images, self.graph = images, graph

    def reads_network(self, data: Data) -> bool:
        """It does not: there is no graph of a network in parts."""
        return False

    def on_step_end(self, trainer: Trainer) -> None:
        """Record what is trained, and on what: after a run's second step, as nobody shall wait for the first one."""
        if trainer.cursor.step != min(2, trainer.extent.last_step):
            return
        train = trainer.data.train
        if self.images:
            from dlrun.figure.samples import samples  # matplotlib takes a moment to import

            batch = {name: value[: self.images].cpu() for name, value in next(train.pictures()).items()}
            shown = next(iter(train.fields.values())).shown(inputs(batch))
            if not isinstance(shown, Tensor) or shown.ndim > 2 or shown.shape[1] == 2:
                targets, classes = batch.get("target"), trainer.data.classes
                some = f"{len(shown)} training examples" if len(shown) > 1 else "A training example"
                title = some + (", by class" if targets is not None and classes else "")
                trainer.recorder.figure("samples", samples(title, shown, names(targets, classes, len(shown))), 0)
        if self.graph and not trainer.options.shard:
            trainer.recorder.graph(trainer.model.eval(), inputs(next(train.epoch()))[:1])
            trainer.model.train()

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Record what the test's scores look like."""
        data, step = trainer.data, trainer.cursor.best_epoch
        trainer.task.show(scores, trainer.recorder, data.test, data.classes, step, self.images)


def names(targets: Tensor | None, classes: list[str], count: int) -> list[str]:
    """What so many examples show, by the names of the classes; nothing where they have none.

    Args:
        targets: class numbers (N,); shares or labels of the classes, float (N, K); or what else is to be predicted.
        classes: their names.
        count: of the examples.
    """
    if targets is None or not classes:
        return [""] * count
    if targets.ndim == 1:
        return [classes[target] for target in targets.long().tolist()]
    strong = targets >= torch.minimum(targets.max(dim=1, keepdim=True).values, torch.tensor(1.0))
    return [" ".join(name for name, there in zip(classes, row, strict=True) if there) for row in strong.tolist()]
