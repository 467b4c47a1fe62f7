"""``dlrun train``: fit a model, keep the checkpoint that validates best, test it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from dlrun import build, console, interrupt
from dlrun import weights as checkpoint
from dlrun.callback.callback import Callback
from dlrun.compute import device, seeding
from dlrun.config import schema
from dlrun.dataset.data import Data
from dlrun.experiment import claims as expect
from dlrun.logger.board import Value
from dlrun.model.normalized import Normalized
from dlrun.run import environment
from dlrun.run.folder import Run
from dlrun.task.task import Task
from dlrun.training.trainer import Trainer


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Train as the config says, into the run's folder; returns what goes into ``result.json``."""
    build.check_targets(config)
    options = build.trainer_options(config)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    # A model that cannot work is refused before any data loads, where the config alone tells the sizes.
    sizes_known = None not in (config.dataset.image_size, config.dataset.num_classes)
    network = build.network(config, build.task(config)) if sizes_known else None
    data = build.data(config, place, options.limit_batches)
    task = build.task(config)
    resumes = checkpoint.newest(run.path)
    model = build.model(config, task, place, resumes is None, network)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    console.say(
        f"{config.name} on {place}: {parameters:,} parameters; {data.train.num_images:,} images to train,"
        f" {data.val.num_images:,} to validate, {data.test.num_images:,} to test"
    )
    optimizer, callbacks = build.optimizer(config, model), build.callbacks(config)
    trainer = make_trainer(config, run, model, task, data, options, place, optimizer, callbacks)
    expect.check_names(config.get("expect"), trainer.metric_names, config.get("then") or {})
    try:
        continue_from(trainer, resumes)
        run.save_config(config)  # again, now that the data's sizes are known
        with interrupt.at_check():
            trainer.fit()
        result = test_best(trainer)
    finally:
        for callback in trainer.callbacks:
            callback.close()
    return {**result, "parameters": parameters}


def make_trainer(
    config: DictConfig,
    run: Run,
    model: Normalized,
    task: Task,
    data: Data,
    options: schema.Trainer,
    place: torch.device,
    optimizer: torch.optim.Optimizer,
    callbacks: Sequence[Callback],
) -> Trainer:
    """A trainer for the run, with the config's schedule, and the hyperparameters for TensorBoard."""
    overridden = list(run.invocation.keys)
    return Trainer(
        model=model,
        task=task,
        optimizer=optimizer,
        schedule=build.schedule(config),
        data=data,
        options=options,
        device=place,
        callbacks=callbacks,
        folder=run.path,
        hparams=hparams(config, run.invocation.choices, overridden),
        swept=overridden,
    )


def test_best(trainer: Trainer) -> dict[str, Any]:
    """Test the checkpoint that validated best, once; returns what goes into ``result.json``."""
    best = trainer.folder / "checkpoints" / "best.pt"
    if best.exists():
        checkpoint.load_weights(trainer.eval_model.network, best)
    tested = trainer.test()
    progress = trainer.progress
    return {
        "metrics": {**progress.best_metrics, **tested},
        "monitor": trainer.monitor,
        "higher_is_better": trainer.higher_is_better,
        "stopped": progress.stopped,
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "steps": progress.step,
        "classes": trainer.data.classes,
        "environment": environment.describe(trainer.device),
    }


def continue_from(trainer: Trainer, state: dict[str, Any] | None) -> None:
    """Bring the trainer to a checkpoint's state, or clear away what a run left that never reached one."""
    if state is None:
        trainer.cut_files({})
        return
    trainer.restore(state)
    progress = trainer.progress
    console.say(f"continuing after step {progress.step:,} of {trainer.total_steps:,}, in epoch {progress.epoch + 1}")


def hparams(config: DictConfig, choices: Mapping[str, str], overridden: list[str]) -> dict[str, Value]:
    """What a comparison of runs should show: the same keys for every run, and those that the command line sets.

    TensorBoard has one list of columns for all the runs that it shows, so settings of one choice alone
    (``optimizer.momentum``) are in it only where they were set.
    """
    keys = ["seed", "dataset.batch_size", "trainer.epochs", "optimizer.lr", "optimizer.weight_decay", *overridden]
    shown: dict[str, Value] = {
        group: choices[group] for group in ("model", "dataset", "loss", "optimizer", "scheduler")
    }
    for key in keys:
        value = OmegaConf.select(config, key)
        if key not in shown and value is not None:
            shown[key] = value if isinstance(value, (bool, int, float)) else str(value)
    return shown
