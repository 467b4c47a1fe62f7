"""``dlrun train``: fit a model, keep the checkpoint that validates best, test it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dlrun import build, console, interrupt, paths
from dlrun.build import Parts
from dlrun.callback.callback import Callback
from dlrun.config import unread
from dlrun.config.targets import check_targets
from dlrun.dataset.data import Data
from dlrun.errors import UserError
from dlrun.experiment import claims
from dlrun.files import write_whole
from dlrun.logger.logger import Value
from dlrun.run import environment
from dlrun.run.folder import Run
from dlrun.training import checkpoint, process_group
from dlrun.training.phase import Phase, Plan
from dlrun.training.trainer import Trainer
from dlrun.training.world import Alone


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Train as the config says, into the run's folder; returns what goes into ``result.json``."""
    check_targets(config)
    if config.trainer.shard and isinstance(process_group.current(), Alone):
        raise UserError(
            "trainer.shard=true: one process has nothing to share; expected trainer.devices=2 or more, or false"
        )
    state = process_group.current().shared(lambda: checkpoint.newest(run.path))
    parts = build.parts(config, load_weights=state is None)
    console.say(f"{config.name} on {parts.device}: {parts.parameters:,} parameters; {images(parts.data)}")
    plan = Plan(lambda: Phase(parts.model, parts.data, build.step(parts)))
    result, _ = fit(parts, run, [plan], state)
    return {**result, "parameters": parts.parameters}


def images(data: Data) -> str:
    """How many there are in each split, in words."""
    counts = (data.train.num_images, data.val.num_images, data.test.num_images)
    return "{:,} images to train, {:,} to validate, {:,} to test".format(*counts)


def fit(
    parts: Parts,
    run: Run,
    plans: Sequence[Plan],
    state: dict[str, Any] | None,
    callbacks: Mapping[str, Callback] | None = None,
) -> tuple[dict[str, Any], Trainer]:
    """Train through the plans, from a state or from nothing.

    Args:
        parts: of the config.
        run: gets what is written.
        plans: the phases.
        state: of a checkpoint; None for a new run.
        callbacks: the verb's own, beside those of the config.

    Returns:
        What goes into ``result.json``, and the trainer as it ended.
    """
    config, invocation = parts.config, run.invocation
    unread.check_fractions(invocation.keys, parts.data.own)
    schedule = build.schedule(config)
    watching = {"scheduler": schedule} if isinstance(schedule, Callback) else {}
    with build.recorder(config, run.path, "figures") as recorder:
        trainer = Trainer(
            plans=plans,
            task=parts.task,
            schedule=schedule,
            options=build.trainer_options(config),
            device=parts.device,
            callbacks={**build.callbacks(config), **watching, **(callbacks or {})},
            recorder=recorder,
            folder=run.path,
            hparams=hparams(config, invocation.choices, invocation.keys),
            swept=invocation.keys,
            division=parts.division,
        )
        try:
            check_shared(trainer, parts.data)
            for name, text in parts.data.files.items():
                write_whole(run.path / name, text)
            if state is None:
                run.save_config(config)  # again, now that the data's sizes are known: to open may take hours
            trainer.open(state)
            claims.check_names(config.get("expect"), trainer.metric_names, config.get("then") or {})
            if state is not None:
                run.save_config(config)
            with interrupt.at_check():
                trainer.fit(is_new=state is None)
        finally:
            for callback in trainer.callbacks.values():
                callback.close()
    return summary(trainer), trainer


def check_shared(trainer: Trainer, data: Data) -> None:
    """Refuse what needs the network in one piece, where it lies in parts on several processes.

    Raises:
        UserError: names it.
    """
    if trainer.options.shard:
        from dlrun.training.shard import check_watched  # torch's part of it takes a moment to import

        check_watched(trainer.task, trainer.callbacks, data)


def summary(trainer: Trainer) -> dict[str, Any]:
    """What a training has come to, for ``result.json``."""
    cursor = trainer.cursor
    return {
        "metrics": {**cursor.best_metrics, **trainer.result},
        "monitor": trainer.monitor,
        "higher_is_better": trainer.higher_is_better,
        "stopped": cursor.stopped,
        "best_epoch": cursor.best_epoch,
        "epochs": cursor.epoch,
        "steps": cursor.step,
        "cursor": {**asdict(cursor), "next": "done"},
        "classes": trainer.data.classes,
        "environment": environment.describe(trainer.device),
    }


def hparams(config: DictConfig, choices: Mapping[str, str], overridden: Sequence[str]) -> dict[str, Value]:
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
            shown[key] = value if isinstance(value, (bool, int, float)) else paths.shown(str(value))
    return shown
