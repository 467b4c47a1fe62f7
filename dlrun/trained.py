"""A trained model with its data, for the verbs that measure one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from dlrun import build, device, paths, seeding
from dlrun.dataset.data import Data
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.model.normalized import Normalized
from dlrun.precision import Precision
from dlrun.run import Run
from dlrun.task.task import Task


@dataclass
class Trained:
    """What ``run=DIR``, or ``model=NAME weights=FILE dataset=NAME``, stands for."""

    model: Normalized
    task: Task
    data: Data
    loader: Loader
    """The first ``limit`` images of the split to measure on."""
    device: torch.device
    precision: Precision


def open_trained(config: DictConfig, run: Run) -> Trained:
    """Check the config, load model and data, and write the config with what only the data could tell.

    Raises:
        UserError: neither a run nor weights are given, or anything in the config is wrong.
    """
    if config.run is not None and config.weights is None:
        config.weights = str(paths.find_run(config.run) / "checkpoints" / "best.pt")
    if config.weights is None:
        raise UserError("weights: none given; expected run=DIR, or model=NAME weights=FILE dataset=NAME")
    build.check_targets(config)
    options = build.trainer_options(config)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    data = build.data(config, place)
    task = build.task(config)
    model = build.model(config, task, place)
    run.save_config(config)
    loader = data.evaluation(config.split, config.limit)
    return Trained(model, task, data, loader, place, Precision(options.precision, place))
