"""The types and bounds of dlrun's own config keys. No torch here: a wrong key is refused before it is imported.

Defaults live in ``configs/`` alone. The arguments of a ``_target_`` are checked against its signature later, by
:mod:`dlrun.build`; what is listed here for them are the bounds that a signature cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from dlrun.errors import UserError, suggest

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NaturalFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Keys of dlrun's own: no others are taken."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Component(BaseModel):
    """A ``_target_`` with arguments; those not listed here are left to its signature."""

    model_config = ConfigDict(extra="allow", strict=True)
    target: str = Field(alias="_target_")


class Optimizer(Component):
    """Bounds that torch's optimizers share."""

    lr: PositiveFloat
    weight_decay: NaturalFloat = 0.0


class Scheduler(Component):
    """Every schedule can warm up."""

    warmup_steps: Natural
    warmup_epochs: Natural


class Trainer(Section):
    """Options of :class:`dlrun.trainer.Trainer`; ``configs/trainer/default.yaml`` says what each does."""

    epochs: Positive
    steps: Positive | None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    accumulate: Positive
    clip_norm: PositiveFloat | None
    ema: Fraction | None
    patience: Positive | None
    monitor: str | None
    validate_every: Positive
    limit_batches: Positive | None
    compile: bool
    channels_last: bool
    deterministic: bool
    log_every: Positive


class Augment(Section):
    """Options of :class:`dlrun.dataset.augment.Augment`."""

    crop: Natural
    flip: Probability
    rotate: Annotated[float, Field(ge=0, le=180)]
    translate: Fraction
    scale: Fraction
    erase: Probability
    mixup: NaturalFloat
    cutmix: NaturalFloat


class Dataset(Section):
    """What every dataset config says; ``configs/dataset/_base.yaml`` explains the keys."""

    source: Component
    root: str
    image_size: Positive | None
    resize_size: Positive | None
    channels: Literal[1, 3]
    num_classes: Positive | None
    classes: list[str | int] | None
    per_class: Positive | None
    mean: list[float] | None
    std: list[PositiveFloat] | None
    normalize: bool
    batch_size: Positive
    eval_batch_size: Positive
    val_fraction: Fraction
    memory_budget: NaturalFloat
    workers: Natural
    augment: Augment


class Verb(Section):
    """Keys of every verb."""

    verb: str
    seed: Natural
    name: str
    dataset: Dataset
    model: Component
    task: Component
    loss: Component
    trainer: Trainer


class Train(Verb):
    """``dlrun train``."""

    optimizer: Optimizer
    scheduler: Scheduler
    callback: dict[str, Component | None]
    run: str | None
    weights: str | None


class Replay(Train):
    """``dlrun replay``."""

    run: str


class Evaluate(Verb):
    """``dlrun evaluate``."""

    run: str | None
    weights: str | None
    split: Literal["train", "val", "test"]
    limit: Positive | None
    top_k: Positive


class Unfreeze(Section):
    """When and how fast the whole network trains; ``configs/finetune.yaml`` explains the keys."""

    epoch: Natural | None
    lr: PositiveFloat
    decay: Annotated[float, Field(gt=0, le=1)]
    batch_norm: bool


class FinetuneDataset(Dataset):
    """What comes with the weights may be left to them."""

    channels: Literal[1, 3] | None  # type: ignore[assignment]


class Finetune(Train):
    """``dlrun finetune``."""

    dataset: FinetuneDataset
    views: Natural | None
    cache: str
    unfreeze: Unfreeze


class Predict(Verb):
    """``dlrun predict``."""

    run: str | None
    weights: str | None
    input: str | None
    top_k: Positive


class Export(Verb):
    """``dlrun export``."""

    run: str | None
    weights: str | None
    format: Literal["state_dict", "torch_export", "onnx"]


VERBS: dict[str, type[Verb]] = {
    "train": Train,
    "replay": Replay,
    "evaluate": Evaluate,
    "finetune": Finetune,
    "predict": Predict,
    "export": Export,
}


def check(config: DictConfig) -> None:
    """Refuse a composed config with a wrong key, type or value.

    Raises:
        UserError: one line for every fault.
    """
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    for group in ("model", "dataset"):
        if plain.get(group) is None:
            how = "with weights=FILE, or run=DIR for both" if "run" in plain else "from the groups"
            raise UserError(f"{group}: none chosen; expected {group}=NAME {how}")
    try:
        # JSON has YAML's types, and pydantic's strict reading of it takes no string for a number.
        VERBS[plain["verb"]].model_validate_json(json.dumps(plain))
    except ValidationError as error:
        raise UserError("\n".join(_fault(fault, plain) for fault in error.errors())) from None


def _fault(fault: ErrorDetails, config: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        parent = _parent_model(VERBS[config["verb"]], fault["loc"])
        return f"{key}: no such key; {suggest(str(fault['loc'][-1]), parent)}"
    return describe(key, fault)


def describe(key: str, fault: ErrorDetails) -> str:
    """One line for a fault that pydantic found: the key, its value, what was expected."""
    if fault["type"] == "missing":
        return f"{key}: missing; expected a value"
    expected = fault["msg"].replace("Input should be ", "expected ").replace("String should", "should")
    if fault["type"] == "string_pattern_mismatch":
        expected = "expected auto, cpu, cuda, cuda:N or mps"
    return f"{key}={json.dumps(fault['input'], default=str)}: {expected}".replace('"', "'")


def _parent_model(model: Any, location: Iterable[int | str]) -> list[str]:
    """The keys of the section in which the last part of a location was looked for."""
    *sections, _ = location
    for section in sections:
        field = model.model_fields[section]
        model = field.annotation
    return [field.alias or name for name, field in model.model_fields.items()]
