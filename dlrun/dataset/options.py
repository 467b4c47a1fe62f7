"""The options of a dataset: the section ``dataset`` of a config. No torch here."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from dlrun.config.section import (
    COUNTED,
    MAY_CHANGE,
    Component,
    Fraction,
    Natural,
    NaturalFloat,
    Positive,
    PositiveFloat,
    Probability,
    Section,
)

Side = Annotated[int, Field(gt=0, le=2**14)]
"""Of an image in pixels."""


def _sampling(value: Any) -> Any:
    numbers = isinstance(value, list) and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and 0 <= one < math.inf for one in value
    )
    if not (value is None or value == "balanced" or (value and numbers)):
        raise PydanticCustomError("sampling", "expected balanced, a list of a weight for each class, or null")
    return value


class AugmentOptions(Section):
    """Options of :class:`dlrun.dataset.augment.Augment`, of training images alone; all are off at 0."""

    crop: Natural
    """Shift by up to so many pixels, the border filled with black."""
    flip: Probability
    """Of a horizontal flip."""
    rotate: Annotated[float, Field(ge=0, le=180)]
    """By up to so many degrees."""
    translate: Fraction
    """By up to this share of the image."""
    scale: Fraction
    """By up to this share, larger or smaller."""
    erase: Probability
    """That a rectangle is erased."""
    mixup: NaturalFloat
    """Alpha of the Beta distribution of the weights of two images."""
    cutmix: NaturalFloat
    """Alpha of the Beta distribution of the area of a pasted rectangle."""


class SourceOptions(Component):
    """What loads the data; its further arguments are left to its signature."""

    root: Annotated[str | None, MAY_CHANGE] = None
    """Where the data lies."""


class DatasetOptions(Section):
    """What every dataset says; the defaults are in ``configs/dataset/_base.yaml``."""

    source: SourceOptions
    """What loads the data: it returns :class:`dlrun.dataset.source.Splits`."""
    root: Annotated[str, MAY_CHANGE]
    """Where the data lies."""
    shape: Annotated[list[Positive] | None, COUNTED] = None
    """Of what the network reads, such as [channels, height, width]."""
    words: Annotated[Positive | None, COUNTED] = None
    """Most words of a vocabulary; None where there are no texts."""
    image_size: Annotated[Side | None, COUNTED]
    """Pixels; images of another size are resized once."""
    resize_size: Annotated[Side | None, COUNTED]
    """Where larger: images are resized to it, and their middle of ``image_size`` is cut out."""
    channels: Annotated[Positive | None, COUNTED]
    """1 or 3, images are converted; of other data the numbers at each place, such as 2 for points of a plane."""
    num_classes: Annotated[Positive | None, COUNTED]
    """How many classes there are."""
    classes: list[str | int] | None
    """Only these classes, by name and in this order."""
    per_class: Positive | None
    """Only so many training images of each class, by seed."""
    mean: Annotated[list[float] | None, COUNTED]
    """Per channel, of pixels in [0,1]; None measures it on the training images."""
    std: Annotated[list[PositiveFloat] | None, COUNTED]
    """The same of the standard deviation."""
    normalize: bool
    """Whether the model begins with a layer that subtracts the mean and divides by the standard deviation."""
    batch_size: Positive
    """Of training."""
    eval_batch_size: Positive
    """Of validation and test, where no gradients need memory."""
    sampling: Annotated[Any, AfterValidator(_sampling)] = None
    """Draw training images by their classes' weights, with replacement; None takes each once an epoch."""
    val_fraction: Fraction
    """Of the training images, split off by seed."""
    memory_budget: Annotated[NaturalFloat, MAY_CHANGE]
    """GiB; a larger set streams from disk through worker processes."""
    workers: Annotated[int, Field(ge=0, le=1024), MAY_CHANGE]
    """Worker processes of the streaming path."""
    on_error: Literal["raise", "skip"]
    """At an image file that cannot be read: end, or leave it out."""
    augment: AugmentOptions
    """How training images are varied."""
