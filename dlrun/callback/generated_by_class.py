"""What a generator makes that is told a class: a row of images for each, and how often they show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from dlrun.callback.generated import Generated, generate
from dlrun.callback.judge import Judged
from dlrun.errors import UserError
from dlrun.figure.image_rows import image_rows
from dlrun.model.generative import Conditional

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer

ACROSS = 16
"""Images of each class in the picture."""
TITLE = "What the network makes of noise, asked for one class in each row"


class GeneratedByClass(Generated):
    """All of :class:`Generated`; ``figures/classes.png``, a row for each class; and whether the images show it.

    ``test/asked_share`` of the images are taken by the classifier for the class that was asked for. What it makes of
    real images, ``test/judge_accuracy``, is all that can be reached.

    Args:
        epochs: after which to draw.
    """

    metric_names = (*Generated.metric_names, "test/asked_share")

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse a network that cannot be asked for a class."""
        super().on_phase_start(trainer)
        if not isinstance(trainer.model.network, Conditional):
            raise UserError(
                f"callback: {type(self).__name__} takes a generator that is told a class; expected model=diffusion_unet"
            )

    def also(self, trainer: Trainer, judged: Judged) -> dict[str, float]:
        """The share of images that show what was asked for; draws others."""
        classes = trainer.data.classes
        images = generate(trainer, ACROSS * len(classes))
        rows = {name: images[number :: len(classes)] for number, name in enumerate(classes)}
        trainer.recorder.figure("classes", image_rows(TITLE, rows), trainer.cursor.best_epoch)
        asked = torch.arange(len(judged.probabilities)) % cast(Conditional, trainer.model.network).num_classes
        return {"asked_share": float((judged.probabilities.argmax(dim=1) == asked).double().mean())}
