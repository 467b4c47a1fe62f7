"""From config to objects: the only caller of Hydra's ``instantiate``."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from torch import nn

from dlrun import weights as checkpoint
from dlrun.attack.attack import Attack
from dlrun.callback.callback import Callback
from dlrun.config import schema
from dlrun.dataset.data import Data, prepare
from dlrun.dataset.source import Splits
from dlrun.errors import UserError, suggest
from dlrun.explainer.explainer import Explainer
from dlrun.logger.logger import Logger
from dlrun.model.normalized import Normalized
from dlrun.record.recorder import Recorder
from dlrun.scheduler.schedule import Schedule
from dlrun.task.task import Task
from dlrun.visualizer.visualizer import Visualizer

HYDRA_KEYS = ("_target_", "_args_", "_convert_", "_partial_", "_recursive_")
"""What ``instantiate`` reads itself and gives no target."""


def data(config: DictConfig, device: torch.device, limit_batches: int | None = None) -> Data:
    """The dataset's splits as batches on the device; fills in the sizes that ``config.dataset`` leaves null."""
    splits = make(config.dataset.source, "dataset.source")
    if not isinstance(splits, Splits):
        raise UserError(
            f"dataset.source._target_={config.dataset.source._target_}: returns a {type(splits).__name__};"
            " expected dlrun.dataset.source.Splits"
        )
    return prepare(splits, config.dataset, config.seed, device, limit_batches)


def network(config: DictConfig, task: Task) -> nn.Module:
    """The network alone; the sizes in ``config.dataset`` are known.

    Raises:
        UserError: it cannot take the dataset's images, or gives outputs that do not suit the task or its loss.
    """
    made = make(config.model, "model")
    if not isinstance(made, nn.Module):
        raise UserError(f"model._target_={config.model._target_}: is no torch.nn.Module")
    if config.get("init") is not None:
        make(config.init, "init")(made)
    dataset = config.dataset
    image = torch.zeros(1, dataset.channels, dataset.image_size, dataset.image_size)
    size = "x".join(map(str, image.shape[1:]))
    try:
        with torch.inference_mode():
            output = made.eval()(image)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"model={_name(made)}: cannot take images of {size} ({reason})") from None
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
        checkpoint.load_weights(inner, Path(config.weights))
    return Normalized(inner, dataset.mean if normalize else None, dataset.std if normalize else None).to(device)


def task(config: DictConfig) -> Task:
    """The task with its loss; ``config.dataset.num_classes`` is known."""
    loss = make(config.loss, "loss")
    made = make(config.task, "task", loss=loss, num_classes=config.dataset.num_classes)
    assert isinstance(made, Task)
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


def optimizer(
    config: DictConfig, network: nn.Module, groups: list[dict[str, Any]] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of all parameters that require gradients, or of groups of them with their own settings."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    made: torch.optim.Optimizer = make(config.optimizer, "optimizer", params=groups or parameters)
    return made


def schedule(config: DictConfig) -> Schedule:
    """The learning-rate schedule."""
    made: Schedule = make(config.scheduler, "scheduler")
    return made


def callbacks(config: DictConfig) -> list[Callback]:
    """The callbacks, in the config's order; one set to null is left out."""
    return [make(node, f"callback.{name}") for name, node in config.callback.items() if node is not None]


def recorder(config: DictConfig, folder: Path, figures: str = "") -> Recorder:
    """What a run records goes here; opens nothing yet.

    Args:
        config: its section ``logger`` names the loggers; one set to null is left out.
        folder: the run's folder.
        figures: the folder in it for figures.

    Raises:
        UserError: the package of a logger is not installed.
    """
    loggers = []
    for name, node in (config.get("logger") or {}).items():
        if node is not None:
            made = make(node, f"logger.{name}")
            if not isinstance(made, Logger):
                raise UserError(f"logger.{name}._target_={node._target_}: is no dlrun.logger.logger.Logger")
            loggers.append(made)
    return Recorder(folder, loggers, figures)


def trainer_options(config: DictConfig) -> schema.Trainer:
    """The ``trainer`` section, typed."""
    return schema.Trainer.model_validate(OmegaConf.to_container(config.trainer, resolve=True))


def make(node: DictConfig, key: str, **extra: Any) -> Any:
    """Call a ``_target_`` with its arguments and further ones that no config can hold.

    Raises:
        UserError: for anything that the target has against its arguments (a ValueError or TypeError of its own).
    """
    try:
        return instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, (ValueError, TypeError)):
            raise UserError(f"{key}: {' '.join(str(cause).split())}") from None
        raise cause or error from None


def check_targets(config: DictConfig) -> None:
    """Import every ``_target_`` of the config and bind its arguments, before anything is made or loaded.

    Raises:
        UserError: a line for each target that does not import, and each argument that it does not take.
    """
    faults = [fault for key, node in targets(config) for fault in _target_faults(key, node)]
    if faults:
        raise UserError("\n".join(faults))


def targets(node: Any, key: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every part of a config that has a ``_target_``, with its dotted key."""
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        yield key, node
    for name in map(str, node):
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            yield from targets(node[name], f"{key}.{name}".lstrip("."))


def _target_faults(key: str, node: DictConfig) -> Iterator[str]:
    try:
        target = get_object(node._target_)
        signature = inspect.signature(target)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error.args[0]).split()) if error.args else type(error).__name__
        yield f"{key}._target_={node._target_}: cannot be imported ({reason})"
        return
    parameters = signature.parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    plain: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    for name in map(str, node):
        if name in HYDRA_KEYS:
            continue
        if name not in parameters:
            if not takes_any or name.startswith("_"):
                known = [known for known in ("_target_", *parameters) if known not in ("self", "params", "loss")]
                yield f"{key}.{name}: {node._target_} takes no such argument; {suggest(name, known)}"
        elif name in hints:
            value = plain[name]
            if value is not None or not OmegaConf.is_interpolation(node, name):  # else a size not yet counted
                yield from _type_faults(f"{key}.{name}", value, hints[name])


def _type_faults(key: str, value: Any, hint: Any) -> Iterator[str]:
    """Faults of an argument against its annotation, where pydantic can check that."""
    if isinstance(value, dict):
        return
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_json(json.dumps(value), strict=True)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return
    except ValidationError as error:
        fault = error.errors()[0]  # of a union, one member's complaint says enough
        places = [f".{part}" for part in fault["loc"] if isinstance(part, int)]
        yield schema.describe(key + "".join(places), fault)


def _name(network: nn.Module) -> str:
    return type(network).__name__
