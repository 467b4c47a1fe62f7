"""The templates of a linear classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlrun.callback.callback import Callback
from dlrun.dataset.batch import inputs
from dlrun.errors import UserError
from dlrun.figure.weights import templates
from dlrun.model.linear import Linear

if TYPE_CHECKING:
    from dlrun.task.task import Scores
    from dlrun.training.trainer import Trainer


class Templates(Callback):
    """Draws the weights of ``model=linear`` as an image for each class (001_6d5271d093cc63ab.txt).

    Those of images in colour are in colour.

    Raises:
        UserError: the model is another.
    """

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse other models."""
        if not isinstance(trainer.model.network, Linear):
            raise UserError("callback.templates: draws model=linear, whose weights are images")

    def on_test_end(self, trainer: Trainer, metrics: dict[str, float], scores: Scores) -> None:
        """Draw the model that was tested."""
        weight = trainer.eval_model.network.get_parameter("fc.weight").detach()
        channels, height, width = inputs(trainer.data.test.source[0]).shape
        drawn = templates(weight.view(-1, channels, height, width), trainer.data.classes)
        trainer.recorder.figure("templates", drawn, trainer.cursor.step)
