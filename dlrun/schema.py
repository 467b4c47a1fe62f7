"""The types and bounds of dlrun's own config keys. No torch here: a wrong key is refused before it is imported.

Defaults live in ``configs/`` alone. The arguments of a ``_target_`` are checked against its signature later, by
:mod:`dlrun.build`; what is listed here for them are the bounds that a signature cannot say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dlrun.errors import UserError, suggest

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NaturalFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _radii(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if not values or len(numbers) < len(values) or not all(0 <= one < math.inf for one in numbers):
        raise PydanticCustomError("radii", "expected 0 or more, such as 0.1 or 8/255, or a list of such numbers")
    return value


Radii = Annotated[Any, AfterValidator(_radii)]
"""Of a perturbation: one number or several."""


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


class Attack(Component):
    """What all attacks say, and the bounds that the iterative ones share."""

    eps: Radii
    steps: Natural = 0
    step_size: NaturalFloat | None = None
    restarts: Positive = 1
    queries: Positive = 1


class Trainer(Section):
    """Options of :class:`dlrun.trainer.Trainer`; ``configs/trainer/default.yaml`` says what each does."""

    epochs: Positive
    steps: Positive | None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
    precision: Literal["fp32", "bf16", "fp16"]
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
    channels: Literal[1, 3]
    num_classes: Positive | None
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
    attack: Attack | None = None


class Replay(Train):
    """``dlrun replay``."""

    run: str


class Measure(Verb):
    """The verbs that measure a trained model on a split."""

    run: str | None
    weights: str | None
    split: Literal["train", "val", "test"]
    limit: Positive | None


class Evaluate(Measure):
    """``dlrun evaluate``."""

    top_k: Positive


class AttackVerb(Measure):
    """``dlrun attack``."""

    attack: Attack
    check: Natural
    save: bool


class Certify(Measure):
    """``dlrun certify``."""

    attack: Attack
    eps: Radii
    method: Literal["auto", "interval", "polytope", "lipschitz"]


VERBS: dict[str, type[Verb]] = {
    "train": Train,
    "replay": Replay,
    "evaluate": Evaluate,
    "attack": AttackVerb,
    "certify": Certify,
}
FRACTIONS = ("eps", "step_size")
"""The keys whose numbers may be written as a fraction, such as 8/255."""


def check(config: DictConfig) -> None:
    """Refuse a composed config with a wrong key, type or value; fractions in it (``8/255``) become numbers.

    Raises:
        UserError: one line for every fault.
    """
    divide(config)
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
    if issubclass(VERBS[plain["verb"]], Train) and plain.get("attack") and "attack" not in plain["task"]:
        raise UserError(f"attack={plain['attack']['_target_']}: the task attacks nothing; expected task=adversarial")


def divide(config: DictConfig) -> None:
    """Replace the texts ``a/b`` under the keys that may be fractions by their quotients, in place."""
    for key in map(str, config):
        value = None if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key) else config[key]
        if isinstance(value, DictConfig):
            divide(value)
        elif key in FRACTIONS and value is not None:
            config[key] = [_quotient(each) for each in value] if isinstance(value, ListConfig) else _quotient(value)


def _quotient(value: Any) -> Any:
    parts = re.fullmatch(r"\s*([0-9.]+)\s*/\s*([0-9.]+)\s*", value) if isinstance(value, str) else None
    try:
        return float(parts[1]) / float(parts[2]) if parts else value
    except (ValueError, ZeroDivisionError):
        return value  # refused as it stands


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
