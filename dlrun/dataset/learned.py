"""What a loss or a task wants to know of the training data."""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from dlrun import console
from dlrun.config.frozen import updated
from dlrun.dataset.balance import balanced, class_counts
from dlrun.dataset.data import Data


def learned(config: DictConfig, data: Data) -> DictConfig:
    """The config with what loss and task want to know of the training data, in numbers.

    A ``balanced`` loss gets the weights of the classes, a regression the mean and deviation of what it predicts.

    Raises:
        UserError: the data has no classes.
    """
    train = data.evaluation("train")
    if config.loss.get("weight") == "balanced":
        weights = [
            round(each, 6) for each in balanced(class_counts(train.epoch(), config.dataset.num_classes)).tolist()
        ]
        console.say(f"loss.weight=[{','.join(f'{weight:.4g}' for weight in weights)}]")
        config = updated(config, {"loss.weight": weights})
    if "mean" in config.task and config.task.mean is None:
        targets = torch.cat([batch["target"].float().cpu() for batch in train.epoch()])
        std, mean = torch.std_mean(targets.double(), dim=0)
        config = updated(config, {"task.mean": mean.tolist(), "task.std": std.clamp(min=1e-12).tolist()})
    return config
