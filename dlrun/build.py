"""From config to objects: the only caller of Hydra's ``instantiate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from dlrun import weights
from dlrun.attack.attack import Attack
from dlrun.callback.callback import Callback
from dlrun.command.verbs import VERBS
from dlrun.compute import compiler, device, seeding
from dlrun.compute.precision import Precision
from dlrun.config.frozen import updated
from dlrun.config.targets import check_targets
from dlrun.dataset.data import IMAGENET, Data, input_shape, input_type, need_numbers, prepare, sized
from dlrun.dataset.learned import learned
from dlrun.dataset.source import Splits, labels
from dlrun.errors import UserError
from dlrun.explainer.explainer import Explainer
from dlrun.lesson.lesson import Lesson
from dlrun.logger.logger import Logger
from dlrun.model.layer import SingleLayer
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.schedule import Schedule
from dlrun.task.task import Task
from dlrun.training import division, layout
from dlrun.training.options import TrainerOptions
from dlrun.training.step import Step
from dlrun.visualizer.visualizer import Visualizer


@dataclass
class Parts:
    """What a config stands for, made.

    Args:
        config: with what only the data says filled in.
        device: where all of it is.
        precision: of the computation.
        task: what a batch means.
        model: the network behind its normalisation.
        division: into how many micro-batches a batch is divided, and who computes them.
        data: the dataset; None where nobody asked for it.
    """

    config: DictConfig
    device: torch.device
    precision: Precision
    task: Task
    model: Normalized
    division: division.Division
    loaded: Data | None

    @property
    def data(self) -> Data:
        """The dataset, where it was asked for."""
        assert self.loaded is not None
        return self.loaded

    @property
    def parameters(self) -> int:
        """Weights and biases of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def parts(
    config: DictConfig,
    with_data: bool = True,
    in_memory: bool = True,
    load_weights: bool = True,
    known_classes: Sequence[str] | None = None,
) -> Parts:
    """Seed everything, and make all that a config describes.

    A model that cannot work is refused before any data loads, where the config alone tells the sizes.

    Args:
        config: the whole config, whose targets are checked.
        with_data: load the dataset.
        in_memory: as the config says; False streams it whatever its size.
        load_weights: those that the config names; False where a checkpoint follows.
        known_classes: of a trained model, with which those of the data are matched by name.

    Raises:
        UserError: anything in the config is wrong.
    """
    need_numbers(config)
    if config.dataset.image_size is None and config.get("weights") is not None:  # most files of weights are ImageNet's
        config = updated(config, {"dataset.image_size": IMAGENET})
    options = trainer_options(config)
    chosen = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    divided = division.of(options, config.seed, chosen)
    sizes_known = None not in (config.dataset.channels, config.dataset.image_size, config.dataset.num_classes)
    made = network(config, task(config)) if sizes_known else None
    loaded = None
    if with_data:
        streamed = config if in_memory else updated(config, {"dataset.memory_budget": 0.0})
        with divided.world.first():  # it may be downloaded
            loaded = data(streamed, chosen, options.limit_batches, known_classes)
        config = updated(config, {f"dataset.{key}": value for key, value in loaded.facts.items()})
        meaning = task(config)
        meaning.check_needs(loaded.fields)
        meaning.check_batch(loaded.train.examples(torch.tensor([0])))
        for name in ("train", "val", "test"):
            meaning.check_split(name, labels(getattr(loaded, name).source), loaded.classes)
        config = learned(config, loaded)
    meaning = task(config)
    meaning.criterion.to(chosen)
    whole = model(config, meaning, torch.device("cpu"), load_weights, made)
    whole = layout.placed(whole, chosen, options, VERBS[config.verb].trains)
    return Parts(config, chosen, Precision(options.precision, chosen), meaning, whole, divided, loaded)


def data(
    config: DictConfig,
    device: torch.device,
    limit_batches: int | None = None,
    known_classes: Sequence[str] | None = None,
) -> Data:
    """The dataset's splits as batches on the device, with the facts that only they tell."""
    splits = make(config.dataset.source, "dataset.source")
    if not isinstance(splits, Splits):
        raise UserError(
            f"dataset.source._target_={config.dataset.source._target_}: returns a {type(splits).__name__};"
            " expected dlrun.dataset.source.Splits"
        )
    return prepare(splits, sized(config.dataset, splits), config.seed, device, limit_batches, known_classes)


def network(config: DictConfig, task: Task) -> nn.Module:
    """The network alone; the sizes in ``config.dataset`` are known.

    Raises:
        UserError: it cannot take the dataset's inputs, or gives outputs that do not suit the task or its loss.
    """
    made = make(config.model, "model")
    if not isinstance(made, nn.Module):
        raise UserError(f"model._target_={config.model._target_}: is no torch.nn.Module")
    if config.get("init") is not None:
        make(config.init, "init")(made)
    shape = input_shape(config.dataset)
    try:
        with torch.inference_mode():
            output = made.eval()(torch.zeros(1, *shape, dtype=input_type(config.dataset)))
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason, size = str(error).split("\n")[0], "x".join(map(str, shape))
        raise UserError(f"model={_name(made)}: cannot take inputs of {size} ({reason})") from None
    try:
        task.check_output(output)
    except ValueError as error:
        raise UserError(f"model={_name(made)}: {error}") from None
    return made


def model(
    config: DictConfig,
    task: Task,
    device: torch.device,
    load_weights: bool = True,
    network_made: nn.Module | None = None,
) -> Normalized:
    """The network behind its normalisation, on the device, with weights from a file where the config names one.

    Args:
        config: the whole config.
        task: refuses a model that does not suit it.
        device: where the model shall be.
        load_weights: False where a checkpoint follows.
        network_made: the network, if it is made already.

    Raises:
        UserError: see :func:`network`; or the weights do not fit.
    """
    inner = network_made or network(config, task)
    dataset = config.dataset
    normalize = dataset.normalize
    if config.get("weights") is not None and load_weights:
        weights.load_weights(inner, Path(config.weights))
    return Normalized(inner, dataset.mean if normalize else None, dataset.std if normalize else None).to(device)


def layer(config: DictConfig) -> SingleLayer | None:
    """The single layer that the config's model is; None where it is a network."""
    if get_object(config.model._target_) is not SingleLayer:
        return None
    made = make(config.model, "model")
    assert isinstance(made, SingleLayer)
    return made


def task(config: DictConfig) -> Task:
    """The task with its loss; ``config.dataset.num_classes`` is known."""
    loss = make(config.loss, "loss")
    made = make(config.task, "task", loss=loss, num_classes=config.dataset.num_classes)
    if not isinstance(made, Task):
        raise UserError(f"task._target_={config.task._target_}: is no dlrun.task.task.Task")
    return made


def attack(config: DictConfig) -> Attack:
    """The attack; needs no data yet.

    Raises:
        UserError: an argument is wrong, or its target is no class of the dataset.
    """
    check_targets(config)
    made = make(config.attack, "attack")
    if not isinstance(made, Attack):
        raise UserError(f"attack._target_={config.attack._target_}: is no dlrun.attack.attack.Attack")
    classes = config.dataset.num_classes
    if made.target is not None and classes is not None and made.target >= classes:
        raise UserError(f"attack.target={made.target}: expected a class, 0 to {classes - 1}")
    return made


def explainer(config: DictConfig) -> Explainer:
    """The explainer; needs no data yet."""
    check_targets(config)
    made: Explainer = make(config.explainer, "explainer")
    return made


def visualizer(config: DictConfig) -> Visualizer:
    """The visualizer; needs no data yet."""
    check_targets(config)
    made: Visualizer = make(config.visualizer, "visualizer")
    return made


def lesson(config: DictConfig) -> Lesson:
    """The lesson, with everything seeded.

    Raises:
        UserError: an option is wrong.
    """
    check_targets(config)
    seeding.seed_everything(config.seed)
    made = make(config.lesson, "lesson")
    if not isinstance(made, Lesson):
        raise UserError(f"lesson._target_={config.lesson._target_}: is no dlrun.lesson.lesson.Lesson")
    return made


def optimizers(
    config: DictConfig, task: Task, model: Normalized, groups: list[dict[str, Any]] | None = None
) -> dict[str, torch.optim.Optimizer]:
    """An optimizer for each player of the task, of all its parameters that require gradients.

    Args:
        config: the whole config; all players have its ``optimizer``, whose betas torch wants to be floats.
        task: names the players.
        model: holds the players as submodules of its network.
        groups: of the one player's parameters, with their own settings.

    Raises:
        UserError: the network has no part of a player's name.
    """
    compiler.spare(unless=config.trainer.compile)
    floats = {str(key): [*map(float, each)] for key, each in config.optimizer.items() if OmegaConf.is_list(each)}
    made = {}
    for player in task.players:
        if player and not isinstance(getattr(model.network, player, None), nn.Module):
            raise UserError(f"model={_name(model.network)}: has no {player}; task={type(task).__name__} trains one")
        part = getattr(model.network, player) if player else model
        parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
        made[player] = make(config.optimizer, "optimizer", params=groups or parameters, **floats)
    return made


def step(
    parts: Parts,
    model: Normalized | None = None,
    groups: list[dict[str, Any]] | None = None,
    precision: str | None = None,
) -> Step:
    """The step of a training; of another view of the model, with parameter groups, in another number format."""
    config, whole = parts.config, parts.model if model is None else model
    return layout.step_class(trainer_options(config), whole)(
        parts.task,
        whole,
        optimizers(config, parts.task, whole, groups),
        parts.precision if precision is None else Precision(precision, parts.device),  # type: ignore[arg-type]
        parts.division,
        config.trainer.clip_norm,
        config.trainer.compile,
        config.trainer.sync_batch_norm and parts.division.world.size > 1,
    )


def schedule(config: DictConfig) -> Schedule:
    """The learning-rate schedule."""
    made: Schedule = make(config.scheduler, "scheduler")
    return made


def callbacks(config: DictConfig) -> dict[str, Callback]:
    """The callbacks by name; one set to null is left out."""
    nodes = {str(name): node for name, node in config.callback.items() if node is not None}
    return {name: make(node, f"callback.{name}") for name, node in nodes.items()}


def recorder(config: DictConfig, folder: Path, figures: str = "") -> Recorder:
    """The recorder of a run in a folder, with the config's loggers; figures go to a folder in it.

    Raises:
        UserError: a logger's package is not installed, or it is no logger.
    """
    nodes = {str(name): node for name, node in (config.get("logger") or {}).items() if node is not None}
    loggers = {name: make(node, f"logger.{name}") for name, node in nodes.items()}
    for name, made in loggers.items():
        if not isinstance(made, Logger):
            raise UserError(f"logger.{name}._target_={nodes[name]._target_}: is no dlrun.logger.logger.Logger")
    return Recorder(folder, list(loggers.values()), figures)


def trainer_options(config: DictConfig) -> TrainerOptions:
    """The ``trainer`` section, typed."""
    return TrainerOptions.model_validate(OmegaConf.to_container(config.trainer, resolve=True))


def make(node: DictConfig, key: str, **extra: Any) -> Any:
    """Call a ``_target_`` with its arguments and further ones that no config can hold.

    Raises:
        UserError: for anything that the target has against its arguments (a ValueError or TypeError of its own).
    """
    try:
        return instantiate(node, _convert_="all", **extra)
    except (InstantiationException, UserError, ValueError, TypeError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error  # Hydra 1.4 wraps nothing
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, (ValueError, TypeError)):
            raise UserError(f"{key}: {' '.join(str(cause).split())}") from None
        raise cause or error from None


def _name(network: nn.Module) -> str:
    return type(network).__name__
