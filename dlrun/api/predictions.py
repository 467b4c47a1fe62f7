"""What a model sees in images of Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dlrun.command.classifier import classifier
from dlrun.dataset import examples
from dlrun.dataset.field import fit, to_unit
from dlrun.errors import UserError
from dlrun.explanation.maps import probabilities
from dlrun.trained import Trained

SHOWN = 20
"""Lines that are printed."""


@dataclass(frozen=True, repr=False)
class Predictions:
    """The classes of N images.

    Args:
        probabilities: float (N, K) on the CPU.
        classes: the K names.
    """

    probabilities: Tensor
    classes: list[str]

    @property
    def labels(self) -> list[str]:
        """The most probable class of each."""
        return [self.classes[place] for place in self.probabilities.argmax(dim=1).tolist()]

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each, with their probabilities in [0,1]."""
        values, places = self.probabilities.topk(min(count, len(self.classes)), dim=1)
        return [
            [(self.classes[place], value) for place, value in zip(*row, strict=True)]
            for row in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def __len__(self) -> int:
        return len(self.probabilities)

    def __repr__(self) -> str:
        rows = [", ".join(f"{name} {value:.1%}" for name, value in row) for row in self.top(3)[:SHOWN]]
        more = [f"... {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        return "\n".join([*rows, *more])


def predict(trained: Trained, images: Any) -> Predictions:
    """See :meth:`dlrun.api.run.Run.predict`."""
    examples.need_images(trained.config)
    classifier(trained.task, "predict")
    several = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    if not several:
        raise UserError("images: none given; expected one or more")
    found = torch.cat([pixels(one, trained) for one in several]).to(trained.device)
    batch = trained.config.dataset.eval_batch_size
    return Predictions(probabilities(trained.model, found, batch, trained.precision).cpu(), trained.classes)


def pixels(image: Any, trained: Trained) -> Tensor:
    """An image, or a batch or folder of them, as the model takes it: float (N, C, H, W) in [0,1].

    Raises:
        UserError: it is no image.
    """
    dataset = trained.config.dataset
    if isinstance(image, (str, Path)):
        return examples.of_files(examples.find(str(image), trained.config), trained.config).images
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("L" if dataset.channels == 1 else "RGB"))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise UserError(f"images: an array of {image.dtype} {image.shape}; expected uint8 (H, W) or (H, W, C)")
        image = torch.from_numpy(image.copy()).reshape(*image.shape[:2], -1).permute(2, 0, 1)
    if not isinstance(image, Tensor) or image.ndim not in (3, 4):
        what = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise UserError(f"images: {what}; expected files, pictures, or tensors (N, C, H, W) or (C, H, W)")
    values = to_unit(image) if image.dtype == torch.uint8 else image.float()
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise UserError("images: values outside [0,1]; expected float in [0,1], or uint8")
    fitted = fit(values, dataset.channels, dataset.image_size)
    return fitted if fitted.ndim == 4 else fitted.unsqueeze(0)
