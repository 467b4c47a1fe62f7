"""``dlrun finetune``: train a new head on a pretrained network, on features that are computed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from dlrun import build, console, interrupt, paths
from dlrun import weights as checkpoint
from dlrun.command.train import continue_from, make_trainer, test_best
from dlrun.compute import device, seeding
from dlrun.compute.precision import Precision
from dlrun.config import schema, trust
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import inputs
from dlrun.dataset.data import Data
from dlrun.dataset.features import Cache, FeatureLoader, LiveFeatureLoader, weights_digest
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import classes as targets_of
from dlrun.errors import UserError
from dlrun.logger.board import Board
from dlrun.model import pretrained
from dlrun.model.backbone import Backbone
from dlrun.model.finetuned import OnFeatures, Unfrozen, head_name, rate_groups
from dlrun.model.normalized import Normalized
from dlrun.run.folder import Run
from dlrun.training.trainer import Trainer

PREPROCESSING = ("image_size", "resize_size", "channels", "mean", "std")
"""The keys of ``dataset`` that come with the weights where the config leaves them null."""
AUGMENTED_VIEWS = 8
EMBEDDED = 500  # test images on TensorBoard's projector
COMPONENTS = 50  # principal components of their features
CHECKED = 64  # test images on which a short number format is compared with fp32


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Fine-tune as the config says, into the run's folder; returns what goes into ``result.json``."""
    build.check_targets(config)
    weights = choose_weights(config)
    options = build.trainer_options(config)
    check(config, options)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    data = undecoded(config, place, options)
    task = build.task(config)
    resumes = checkpoint.newest(run.path)
    model = build.model(config, task, place, load_weights=False)
    head = head_name(model.network)
    if resumes is not None:
        model.network.load_state_dict(resumes["model"])
    elif weights is not None:
        checkpoint.load_weights(model.network, weights, without=head)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    on_features = OnFeatures(model, head)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    console.say(
        f"{config.name} on {place}: {trainable:,} of {parameters:,} parameters train; {data.train.num_images:,} images"
        f" to train, {data.val.num_images:,} to validate, {data.test.num_images:,} to test"
    )
    precision = Precision(options.precision, place)
    unfreezes = config.unfreeze.epoch is not None
    last_frozen = min(config.unfreeze.epoch, options.epochs) if unfreezes else options.epochs
    in_second = unfreezes and resumes is not None and position(resumes) > (last_frozen, 0)
    features = data if in_second else feature_data(config, data, model, head, precision)
    run.save_config(config)  # again, now that the sizes are known
    trainer = make_trainer(
        config,
        run,
        on_features,
        task,
        features,
        options.model_copy(update={"epochs": last_frozen, "precision": "fp32", "channels_last": False}),
        place,
        build.optimizer(config, on_features),
        build.callbacks(config),
    )
    try:
        if not in_second:
            continue_from(trainer, resumes)
            with interrupt.at_check():
                trainer.fit()
        if unfreezes and options.epochs > last_frozen:
            trainer = whole_trainer(config, run, model, trainer)
            if in_second:
                continue_from(trainer, resumes)
            with interrupt.at_check():
                trainer.fit()
        result = test_best(trainer)
    finally:
        for callback in trainer.callbacks:
            callback.close()
    if config.callback.tensorboard is not None:
        log_embedding(run.path, features.test, data.classes)
    if precision.resolved != "fp32" and not unfreezes:
        result["agreement"] = agreement(model, on_features, features.test)
        console.say(f"{precision.resolved} and fp32 agree on {result['agreement']:.1%} of {CHECKED} test images")
    return {**result, "parameters": parameters, "trainable": trainable}


def choose_weights(config: DictConfig) -> Path | None:
    """The file of weights to start from; None is random weights.

    Fills in ``dataset`` what the config leaves to the weights, and puts the model of an earlier run in the place of
    its folder, so that the config means the same anywhere.

    Raises:
        UserError: no such network, run, or weights.
    """
    if "backbone" not in config.model:
        raise UserError(
            f"model._target_={config.model._target_}: no backbone; expected model=finetuned model.backbone=NAME"
        )
    name, weights = config.model.backbone, config.weights
    if isinstance(name, str) and (name == "last" or Path(name).is_dir()):
        folder = paths.find_run(name)
        saved = OmegaConf.load(folder / "config.yaml")
        assert isinstance(saved, DictConfig)
        trust.check_names(OmegaConf.to_container(saved), folder, config.trust)
        trust.check_objects(saved, folder, config.trust, ["model"])
        config.model.backbone = saved.model.get("backbone", saved.model)
        if weights == "DEFAULT":
            config.weights = str(folder / "checkpoints" / "best.pt")
        config.dataset.normalize = saved.dataset.normalize
        fill(config, {key: saved.dataset[key] for key in PREPROCESSING})
    elif isinstance(name, str):
        found = pretrained.find(name, weights)
        fill(config, asdict(found.preprocessing))
        return found.path
    if config.weights is not None and not Path(config.weights).is_file():
        raise UserError(f"weights={config.weights}: no such file; expected one with the weights of the run's network")
    return None if config.weights is None else Path(config.weights)


def fill(config: DictConfig, preprocessing: dict[str, Any]) -> None:
    """Set what the ``dataset`` section leaves null; images are resized to no less than their size."""
    dataset = config.dataset
    own_size = dataset.image_size is None
    for key in PREPROCESSING:
        if key == "resize_size" and not own_size:
            dataset[key] = dataset[key] or dataset.image_size
        elif dataset[key] is None:
            dataset[key] = preprocessing[key]


def check(config: DictConfig, options: schema.Trainer) -> None:
    """Refuse keys that cannot go together."""
    augment = config.dataset.augment
    if config.views != 0 and (augment.mixup or augment.cutmix):
        raise UserError("dataset.augment: features of images mixed by mixup or cutmix cannot be kept; expected views=0")
    if config.unfreeze.epoch is not None and options.steps is not None:
        raise UserError(f"trainer.steps={options.steps}: with unfreeze.epoch, expected trainer.epochs")


def undecoded(config: DictConfig, place: torch.device, options: schema.Trainer) -> Data:
    """The data as it lies on disk: images are decoded on the way to the backbone, and never all held."""
    budget, config.dataset.memory_budget = config.dataset.memory_budget, 0.0
    try:
        return build.data(config, place, options.limit_batches)
    finally:
        config.dataset.memory_budget = budget


def feature_data(config: DictConfig, data: Data, model: Normalized, head: str, precision: Precision) -> Data:
    """The data as features: kept ones, or for training images computed in every epoch (``views=0``)."""
    compute = Backbone(model, precision)
    kept = OmegaConf.to_container(config.model, resolve=True)
    assert isinstance(kept, dict)
    origin = {
        "model": {key: value for key, value in kept.items() if key != "num_classes"},
        "weights": weights_digest(model.network, without=head),
        "dataset": {key: config.dataset[key] for key in ("image_size", "resize_size", "channels", "normalize")},
        "mean and std": [model.mean.flatten().tolist(), model.std.flatten().tolist()],
        "precision": precision.resolved,
    }
    cache = Cache(Path(config.cache), compute, json.loads(json.dumps(origin)))
    augmented = any(config.dataset.augment.values())
    if config.views == 0:
        live = partial(with_features, LiveFeatureLoader, backbone=compute)
        return replace(data, train=live(data.train), val=live(data.val), test=live(data.test))
    if augmented:
        count = config.views or AUGMENTED_VIEWS
        (train,) = cache.views([data.train], count, Augment(**config.dataset.augment))
        val, test = cache.views([data.val, data.test])
    else:
        train, val, test = cache.views([data.train, data.val, data.test])
    loaders = (data.train, data.val, data.test)
    made = [
        with_features(FeatureLoader, loader, views=views.to(loader.device))
        for loader, views in zip(loaders, (train, val, test), strict=True)
    ]
    return replace(data, train=made[0], val=made[1], test=made[2])


def with_features(kind: type[Loader], loader: Loader, **more: Any) -> Loader:
    """A loader of another kind with the settings of this one."""
    return kind(**{field.name: getattr(loader, field.name) for field in fields(Loader)}, **more)


def position(state: dict[str, Any]) -> tuple[int, int]:
    """Epochs and batches done in a checkpoint."""
    return state["progress"]["epoch"], state["progress"]["batch"]


def whole_trainer(config: DictConfig, run: Run, model: Normalized, before: Trainer) -> Trainer:
    """What trains the whole network, from where the head's training stands."""
    unfreeze = config.unfreeze
    whole = Unfrozen(model, unfreeze.batch_norm)
    options = build.trainer_options(config)
    groups = rate_groups(whole.network, config.optimizer.lr, unfreeze.lr, unfreeze.decay)
    data = build.data(config, before.device, options.limit_batches)
    optimizer = build.optimizer(config, whole, groups)
    trainer = make_trainer(config, run, whole, before.task, data, options, before.device, optimizer, before.callbacks)
    trainer.progress = before.progress
    trainer.progress.since_best = 0
    count = sum(parameter.numel() for parameter in whole.parameters() if parameter.requires_grad)
    rates = ", ".join(f"{rate:.2g}" for rate in trainer.base_rates)
    console.say(f"unfrozen: {count:,} parameters train, at learning rates {rates}")
    return trainer


def log_embedding(folder: Path, loader: Loader, classes: Sequence[str]) -> None:
    """Show features of the test images on TensorBoard's projector, coloured by class."""
    if (folder / "projector_config.pbtxt").exists():  # the run was continued: the features are the same
        return
    chosen = torch.linspace(0, len(loader.source) - 1, min(EMBEDDED, len(loader.source))).long()
    if isinstance(loader, FeatureLoader):
        labels = [classes[target] for target in targets_of(loader.source)[chosen].tolist()]
        board = Board(folder)
        features = loader.views[0][chosen.to(loader.device)].float().cpu()
        # The projector shows principal components anyway, and the file is text: these keep nearly all distances.
        components = torch.pca_lowrank(features, min(COMPONENTS, *features.shape))[2]
        board.embedding((features - features.mean(dim=0)) @ components, labels, inputs(loader.examples(chosen)))
        board.close()


@torch.inference_mode()
def agreement(model: Normalized, on_features: OnFeatures, loader: Loader) -> float:
    """The share of test images to which the features give the class that the whole model in fp32 gives."""
    few = replace(loader, source=loader.source.subset(torch.arange(min(CHECKED, len(loader.source)))))
    same = total = 0
    for features, images in zip(few.epoch(), few.pictures(), strict=True):
        whole, quick = model.eval()(inputs(images)), on_features(inputs(features))
        same += int((whole.argmax(dim=1) == quick.argmax(dim=1)).sum())
        total += len(whole)
    return same / total
