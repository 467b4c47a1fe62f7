"""A trained model, for the verbs that read one: the only place where its weights and class names are found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from omegaconf import DictConfig

from dlrun import build, paths
from dlrun.compute import device, seeding
from dlrun.compute.precision import Precision
from dlrun.config.invocation import Invocation
from dlrun.dataset.data import Data
from dlrun.errors import UserError
from dlrun.model import pretrained
from dlrun.model.normalized import Normalized
from dlrun.run.folder import Run
from dlrun.task.task import Task


@dataclass
class Trained:
    """What ``run=DIR``, or ``model=NAME weights=FILE dataset=NAME``, stands for; the model is in evaluation mode."""

    model: Normalized
    task: Task
    classes: list[str]
    device: torch.device
    precision: Precision
    read: Data | None

    @property
    def data(self) -> Data:
        """The dataset, where it was asked for."""
        assert self.read is not None
        return self.read


def open_trained(config: DictConfig, run: Run, with_data: bool = True) -> Trained:
    """Check the config, load model and data, and write the config with what only the data could tell.

    Args:
        config: the whole config; ``weights`` becomes a file, and what is null in ``dataset`` is filled in.
        run: gets the config.
        with_data: False reads the dataset only where nothing else tells its classes, mean and std.

    Raises:
        UserError: neither a run nor weights are given, or anything in the config is wrong.
    """
    build.check_targets(config)
    classes = choose_weights(config, run.invocation)
    options = build.trainer_options(config)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    data = build.data(config, place) if with_data or classes is None else None
    task = build.task(config)
    model = build.model(config, task, place).eval()
    run.save_config(config)
    names = data.classes if data else classes or []
    return Trained(model, task, names, place, Precision(options.precision, place), data)


def choose_weights(config: DictConfig, invocation: Invocation) -> list[str] | None:
    """Find the weights, which the config then names as a file, and the names of the classes that they tell apart.

    ``dataset=imagenet`` stands for what torchvision's weights were trained on: it takes their sizes, mean and std, but
    for those that the user sets.

    Returns:
        The names, or their numbers where a run did not come to its end; None where only the dataset knows them.

    Raises:
        UserError: no weights are named, or they cannot be had.
    """
    numbers = [str(number) for number in range(config.dataset.num_classes or 0)]
    if config.run is not None:
        folder = paths.find_run(config.run)
        config.weights = config.weights or str(folder / "checkpoints" / "best.pt")
        try:
            names: list[str] = json.loads((folder / "result.json").read_text())["classes"]
        except (FileNotFoundError, KeyError):
            return numbers
        return names
    is_imagenet, name = invocation.choices["dataset"] == "imagenet", torchvision_name(config.model)
    if is_imagenet and name is not None:
        found = pretrained.find(name, config.weights or "DEFAULT")
        config.weights = str(found.path)
        for key, value in asdict(found.preprocessing).items():
            if f"dataset.{key}" not in invocation.keys:
                config.dataset[key] = value
    if config.weights is None:
        raise UserError("weights: none given; expected run=DIR, or model=NAME weights=FILE dataset=NAME")
    if not is_imagenet:
        return None
    classes = pretrained.find("resnet50", None).classes  # ImageNet's, whatever the network
    return classes if len(classes) == len(numbers) else numbers


def torchvision_name(model: DictConfig) -> str | None:
    """The name of the torchvision classifier that a model is, if it is one."""
    if isinstance(model.get("backbone"), str):
        return str(model.backbone)
    target = str((model.get("network") or model).get("_target_"))
    return target.rpartition(".")[2] if target.startswith("torchvision.models.") else None
