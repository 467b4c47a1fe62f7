"""The verbs in one table: what each takes, and what it takes from an earlier run. No torch here.

Defaults live in ``configs/`` alone, which explain the keys too. The arguments of a ``_target_`` are checked against its
signature later, by :mod:`dlrun.build`; what is listed here for them are the bounds that a signature cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from dlrun.config.section import (
    COUNTED,
    MAY_CHANGE,
    Component,
    Natural,
    NaturalFloat,
    Positive,
    PositiveFloat,
    Radii,
    Section,
    Seed,
)
from dlrun.dataset.options import DatasetOptions
from dlrun.training.options import TrainerOptions


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


class Explainer(Component):
    """What every explainer says; ``configs/explainer/_base.yaml`` explains the keys."""

    classes: list[str | Natural] | Natural | str | None = Field(default=None, alias="target")
    top_k: Positive = 1


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
    seed: Seed
    name: Annotated[str, MAY_CHANGE]
    trust: Annotated[list[str], MAY_CHANGE]
    sweep: Annotated[Sweep, MAY_CHANGE]


class Verb(Command):
    """Keys of every verb that makes a model."""

    dataset: DatasetOptions
    model: Component
    task: Component
    loss: Component
    trainer: TrainerOptions
    logger: Annotated[dict[str, Component | None], MAY_CHANGE] = Field(default_factory=dict)


class Train(Verb):
    """``dlrun train``."""

    init: Component | None = None
    optimizer: Optimizer
    scheduler: Scheduler
    callback: Annotated[dict[str, Component | None], MAY_CHANGE]
    run: Annotated[str | None, MAY_CHANGE]
    weights: Annotated[str | None, MAY_CHANGE]
    attack: Attack | None = None
    expect: Annotated[dict[str, Bound], MAY_CHANGE] = Field(default_factory=dict)
    then: dict[str, str] = Field(default_factory=dict)


class Replay(Train):
    """``dlrun replay``."""

    run: str


class Unfreeze(Section):
    """When and how fast the whole network trains; ``configs/finetune.yaml`` explains the keys."""

    epoch: Natural | None
    lr: PositiveFloat
    decay: Annotated[float, Field(gt=0, le=1)]
    batch_norm: bool


class FinetuneDataset(DatasetOptions):
    """What comes with the weights may be left to them."""

    channels: Annotated[Literal[1, 3] | None, COUNTED]


class Finetune(Train):
    """``dlrun finetune``."""

    dataset: FinetuneDataset
    views: Natural | None
    cache: Annotated[str, MAY_CHANGE]
    unfreeze: Unfreeze


class Trained(Verb):
    """Keys of the verbs that read a trained model."""

    run: str | None
    weights: str | None
    expect: dict[str, Bound] = Field(default_factory=dict)


class Measure(Trained):
    """Keys of those that measure it on a split."""

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


class Explain(Trained):
    """``dlrun explain``."""

    explainer: Explainer
    attack: Attack | None = None
    input: str | None
    split: Literal["train", "val", "test"]
    index: list[Natural] | Natural | None
    class_: Natural | str | None = Field(alias="class")
    order: Literal["any", "first", "most_wrong", "least_certain"]
    limit: Positive
    pictures: Natural
    steps: Natural
    randomize: bool


class Visualize(Trained):
    """``dlrun visualize``."""

    visualizer: Component
    input: str | None
    index: Natural


class Predict(Trained):
    """``dlrun predict``."""

    input: str | None
    classes: list[str | int | float] | None
    top_k: Positive


class Export(Trained):
    """``dlrun export``."""

    format: Literal["state_dict", "torch_export", "onnx"]


class Inspect(Verb):
    """``dlrun inspect``."""

    run: str | None
    expect: dict[str, Bound] = Field(default_factory=dict)


class Lesson(Command):
    """``dlrun lesson``."""

    lesson: Component
    logger: Annotated[dict[str, Component | None], MAY_CHANGE] = Field(default_factory=dict)
    expect: Annotated[dict[str, Bound], MAY_CHANGE] = Field(default_factory=dict)


class Reproduce(Command):
    """``dlrun reproduce``."""

    experiments: list[str] | None
    all: bool
    embedded: bool
    lessons: bool
    folder: str
    fresh: bool
    report: str | None
    expect: dict[str, Bound]


MODEL = ("model", "dataset", "task", "loss", "trainer")
"""The sections of a run that make its model and data."""
TRAINING = (*MODEL, "init", "optimizer", "scheduler", "callback", "logger", "attack")
"""Those that make its training."""


@dataclass(frozen=True)
class Entry:
    """A verb.

    Args:
        schema: the keys that it takes.
        takes: the sections that ``run=DIR`` hands over to it.
        continues: whether it goes on with the run that it finds in its folder; ``run=DIR`` then means that folder.
        completes: whether its module has a function ``complete`` that fills in what the config leaves to other files.
        parallel: whether several processes can share its work.
    """

    schema: type[Command]
    takes: tuple[str, ...] = MODEL
    continues: bool = False
    completes: bool = False
    parallel: bool = False

    @property
    def trains(self) -> bool:
        """Whether it makes a training; from a run it takes all that the training was made of."""
        return issubclass(self.schema, Train)


VERBS = {
    "train": Entry(Train, (*TRAINING, "then", "expect"), continues=True, parallel=True),
    "finetune": Entry(Finetune, TRAINING, continues=True, completes=True, parallel=True),
    "replay": Entry(Replay, TRAINING),
    "evaluate": Entry(Evaluate, parallel=True),
    "attack": Entry(AttackVerb, parallel=True),
    "certify": Entry(Certify),
    "explain": Entry(Explain),
    "visualize": Entry(Visualize),
    "predict": Entry(Predict),
    "export": Entry(Export),
    "inspect": Entry(Inspect),
    "lesson": Entry(Lesson, ()),
    "reproduce": Entry(Reproduce, ()),
}
