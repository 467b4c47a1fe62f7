"""The types and bounds of dlrun's own config keys. No torch here: a wrong key is refused before it is imported.

Defaults live in ``configs/`` alone. The arguments of a ``_target_`` are checked against its signature later, by
:mod:`dlrun.build`; what is listed here for them are the bounds that a signature cannot say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
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
    """Options of :class:`dlrun.training.trainer.Trainer`; ``configs/trainer/default.yaml`` says what each does."""

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
    channels: Literal[1, 2, 3]
    shape: list[Positive] | None = None
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
    on_error: Literal["raise", "skip"]
    augment: Augment


class Sweep(Section):
    """Options of a sweep; ``configs/_base.yaml`` explains them."""

    dry_run: bool


class Bound(Section):
    """What an experiment expects of a metric: a number, or another metric's name, at either end."""

    min: float | str | None = None
    max: float | str | None = None


class Command(Section):
    """Keys of every verb."""

    verb: str
    seed: Natural
    name: str
    trust: list[str]
    sweep: Sweep


class Verb(Command):
    """Keys of every verb that makes a model."""

    dataset: Dataset
    model: Component
    task: Component
    loss: Component
    trainer: Trainer
    logger: dict[str, Component | None] = {}


class Train(Verb):
    """``dlrun train``."""

    init: Component | None = None
    optimizer: Optimizer
    scheduler: Scheduler
    callback: dict[str, Component | None]
    run: str | None
    weights: str | None
    attack: Attack | None = None
    expect: dict[str, Bound] = {}
    then: dict[str, str] = {}


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


class ExplainerSection(Component):
    """What every explainer says; ``configs/explainer/_base.yaml`` explains the keys."""

    classes: list[str | Natural] | Natural | str | None = Field(default=None, alias="target")
    top_k: Positive = 1


class Explain(Verb):
    """``dlrun explain``."""

    run: str | None
    weights: str | None
    explainer: ExplainerSection
    attack: Attack | None = None
    input: str | None
    split: Literal["train", "val", "test"]
    index: list[Natural] | Natural | None
    class_: Natural | str | None = Field(alias="class")
    order: Literal["first", "most_wrong", "least_certain"]
    limit: Positive
    pictures: Natural
    steps: Natural
    randomize: bool


class Visualize(Verb):
    """``dlrun visualize``."""

    run: str | None
    weights: str | None
    visualizer: Component
    input: str | None
    index: Natural


class Inspect(Verb):
    """``dlrun inspect``."""

    run: str | None
    expect: dict[str, Bound] = {}


class Reproduce(Command):
    """``dlrun reproduce``."""

    experiments: list[str] | None
    embedded: bool
    folder: str
    fresh: bool
    report: str | None
    expect: dict[str, Bound]


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


VERBS: dict[str, type[Command]] = {
    "train": Train,
    "replay": Replay,
    "evaluate": Evaluate,
    "finetune": Finetune,
    "predict": Predict,
    "export": Export,
    "attack": AttackVerb,
    "certify": Certify,
    "explain": Explain,
    "visualize": Visualize,
    "inspect": Inspect,
    "reproduce": Reproduce,
}
FRACTIONS = ("eps", "step_size")
"""The keys whose numbers may be written as a fraction, such as 8/255."""


def check(config: DictConfig) -> None:
    """Refuse a composed config with a wrong key, type or value.

    Fractions in it (``8/255``) become numbers, and ``dataset.num_classes`` is that of the chosen ``dataset.classes``.

    Raises:
        UserError: one line for every fault.
    """
    unresolved = OmegaConf.to_container(config)
    assert isinstance(unresolved, dict)
    verb = unresolved.get("verb")
    if verb not in list(VERBS):
        raise UserError(f"verb={verb}: expected the verb of the command line; {suggest('', VERBS)}")
    for group in ("model", "dataset"):
        if group in VERBS[verb].model_fields and unresolved.get(group) is None:
            how = "with weights=FILE, or run=DIR for both" if "run" in unresolved else "from the groups"
            raise UserError(f"{group}: none chosen; expected {group}=NAME {how}")
    divide(config)
    chosen = OmegaConf.select(config, "dataset.classes", throw_on_resolution_failure=False)
    if isinstance(chosen, ListConfig):
        config.dataset.num_classes = len(chosen)
    plain = resolved(config)
    try:
        # JSON has YAML's types, and pydantic's strict reading of it takes no string for a number.
        VERBS[plain["verb"]].model_validate_json(json.dumps(plain))
    except ValidationError as error:
        raise UserError("\n".join(_fault(fault, plain) for fault in error.errors())) from None
    if faults := combinations(plain):
        raise UserError("\n".join(faults))


def resolved(config: DictConfig, throw_on_missing: bool = True) -> dict[str, Any]:
    """The config as plain values, every reference in it resolved.

    Raises:
        UserError: a reference leads nowhere, or a value is missing.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=throw_on_missing)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def combinations(config: Any) -> list[str]:
    """A line for each pair of values that are right by themselves and cannot work together."""
    if "trainer" not in config:
        return []
    trainer, schedule = config["trainer"], config.get("scheduler") or {}
    epochs = math.inf if trainer["steps"] else trainer["epochs"]
    steps = trainer["steps"] or math.inf
    pairs = [
        ("trainer.accumulate", trainer["accumulate"], "trainer.limit_batches", trainer["limit_batches"] or math.inf),
        ("scheduler.every", schedule.get("every", 0), "trainer.epochs", epochs),
        ("scheduler.warmup_epochs", schedule.get("warmup_epochs", 0), "trainer.epochs", epochs),
        ("scheduler.warmup_steps", schedule.get("warmup_steps", 0), "trainer.steps", steps),
        ("trainer.validate_every", trainer["validate_every"], "trainer.epochs", epochs),
    ]
    faults = [
        f"{key}={value}: more than {other}={bound}; expected at most as many"
        for key, value, other, bound in pairs
        if value > bound
    ]
    if issubclass(VERBS[config["verb"]], Train) and config.get("attack") and "attack" not in config["task"]:
        faults.append(f"attack={config['attack']['_target_']}: the task attacks nothing; expected task=adversarial")
    return faults


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
    if fault["type"] == "missing" and fault["loc"][-1] == "_target_":
        # Perhaps a mistyped name of a callback that exists, with a setting of it.
        *sections, name, _ = map(str, fault["loc"])
        others: Any = config
        for section in sections:
            others = others[section]
        return f"{key}: missing; expected a class or function; {suggest(name, others.keys() - {name})}"
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
        is_dict = get_origin(model) is dict
        model = get_args(model)[1] if is_dict else model.model_fields[section].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
