"""What a generator makes while it learns, and how good it is in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from dlrun.callback.callback import Callback
from dlrun.callback.judge import Judge, Judged, quality
from dlrun.dataset.data import Data
from dlrun.errors import UserError
from dlrun.figure.image_rows import image_rows
from dlrun.model.generative import Generative, noise

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer

COLUMNS = 10
"""Images of each epoch in the picture; a multiple of the classes that a conditional generator takes in turn."""
MOST = 5000
"""Images that are judged."""
BATCH = 500
"""Images that are made at once; a multiple of the classes too."""
SEED = 1
"""Of the noise."""


class Generated(Callback):
    """``figures/growth.png``, images of the same noise after some epochs, and measures of the images in the end.

    Measures, all on as many images: ``test/frechet_distance`` between features of made and of real images by a LeNet
    that was trained on the real ones, beside ``test/real_distance`` between two halves of the real test images and
    ``test/noise_distance`` of uniform noise, with ``test/frechet_ratio`` to the last; ``test/confident_share`` of
    images that this LeNet gives more than 0.9 to one class; ``test/class_divergence``, in nats, of their classes from
    an equal number of each; ``test/classes`` that have a hundredth of them or more; ``test/judge_accuracy`` on real
    images, by which all of this can be trusted.

    Args:
        epochs: after which to draw.
    """

    metric_names: Sequence[str] = (
        *("test/frechet_distance", "test/real_distance", "test/noise_distance", "test/frechet_ratio"),
        *("test/confident_share", "test/class_divergence", "test/classes", "test/judge_accuracy"),
    )

    def __init__(self, epochs: tuple[int, ...] | list[int] = (1, 2, 5, 10, 20)) -> None:
        self.epochs = list(epochs)
        self._made: dict[int, Tensor] = {}

    def on_phase_start(self, trainer: Trainer) -> None:
        """Refuse a network that makes no images."""
        if not isinstance(trainer.model.network, Generative):
            raise UserError(f"callback: {type(self).__name__} takes a generator; expected model=dcgan")
        if "target" not in trainer.data.fields:
            raise UserError(f"callback: {type(self).__name__} needs the classes of the images; the data has none")

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, float], improved: bool) -> None:
        """Keep images, and draw those of all epochs so far."""
        epoch = trainer.cursor.epoch
        if epoch in self.epochs:
            self._made[epoch] = generate(trainer, COLUMNS)
            title = "What the network makes of the same noise as it learns"
            rows = {f"epoch {number}": images for number, images in self._made.items()}
            trainer.recorder.figure("growth", image_rows(title, rows), epoch)

    def measure(self, trainer: Trainer) -> dict[str, float]:
        """Judge the images of the network that is tested."""
        judge = Judge(trainer.data, trainer.device)
        real, targets = _images(trainer.data)
        count = min(len(real) // 2, MOST)
        made = generate(trainer, count)
        uniform = torch.rand(made.shape, generator=torch.Generator().manual_seed(SEED))
        judged = judge(real)
        right = (judged.probabilities.argmax(dim=1) == targets).double().mean()
        few = Judged(judged.features[: 2 * count], judged.probabilities[: 2 * count])
        judged_made = judge(made)
        found = {**quality(judged_made, few, judge(uniform)), **self.also(trainer, judged_made)}
        return {**{f"test/{name}": value for name, value in found.items()}, "test/judge_accuracy": float(right)}

    def also(self, trainer: Trainer, judged: Judged) -> dict[str, float]:
        """Further measures, without the split, of the images that were made; none here."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The images so far, by epoch."""
        return {"made": dict(self._made)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._made = dict(state["made"])


@torch.no_grad()
def generate(trainer: Trainer, count: int) -> Tensor:
    """So many images of the network that is validated, always of the same noise, float (N, C, H, W) on the CPU."""
    network = trainer.eval_model.network
    was_training = network.training
    network.eval()
    maker = cast(Generative, network)
    parts = torch.split(noise(maker, count, SEED), BATCH)
    made = [maker.generate(part.to(trainer.device)).float().cpu() for part in parts]
    network.train(was_training)
    return torch.cat(made)


def _images(data: Data) -> tuple[Tensor, Tensor]:
    """The images of the test, float (N, C, H, W), mixed by a fixed seed, and their classes."""
    batches = [*data.evaluation("test").epoch()]
    images, targets = (torch.cat([batch[name].cpu() for batch in batches]) for name in ("image", "target"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    return images[order], targets[order]
