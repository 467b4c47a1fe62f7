"""``dlrun finetune``: train a new head on a pretrained network, on features that are computed once."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from dlrun import build, console, paths, weights
from dlrun.build import Parts
from dlrun.callback.callback import Callback
from dlrun.command.train import fit, images
from dlrun.config import trust
from dlrun.config.frozen import updated
from dlrun.config.targets import check_targets
from dlrun.dataset.augment import Augment
from dlrun.dataset.batch import inputs
from dlrun.dataset.data import Data
from dlrun.dataset.features import Cache, FeatureLoader, LiveFeatureLoader, weights_digest
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.model import pretrained
from dlrun.model.backbone import Backbone
from dlrun.model.finetuned import OnFeatures, Unfrozen, head_name, rate_groups
from dlrun.run.folder import Run
from dlrun.training import checkpoint, process_group
from dlrun.training.phase import Phase, Plan
from dlrun.training.trainer import Trainer

PREPROCESSING = ("image_size", "resize_size", "channels", "mean", "std")
"""The keys of ``dataset`` that come with the weights where the config leaves them null."""
AUGMENTED_VIEWS = 8
EMBEDDED = 500  # test images on TensorBoard's projector
COMPONENTS = 50  # principal components of their features
CHECKED = 64  # test images on which a short number format is compared with fp32


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Fine-tune as the config says, into the run's folder; returns what goes into ``result.json``."""
    check_targets(config)
    config, file = choose_weights(config)
    check(config)
    state = process_group.current().shared(lambda: checkpoint.newest(run.path))
    if state is None and file is not None and not file.is_file():
        raise UserError(f"weights={file}: no such file; expected one with the weights of the run's network")
    parts = build.parts(config, in_memory=False, load_weights=False)
    network = parts.model.network
    if state is not None:
        network.load_state_dict(state["model"])
    elif file is not None:
        weights.load_weights(network, file, without=head_name(network))
    tuning = Tuning(parts)
    console.say(
        f"{config.name} on {parts.device}: {tuning.trainable:,} of {parts.parameters:,} parameters train;"
        f" {images(parts.data)}"
    )
    last_frozen = config.unfreeze.epoch
    plans = [Plan(tuning.head_phase, last_frozen)]
    if last_frozen is not None and config.trainer.epochs > last_frozen:
        plans.append(Plan(tuning.whole_phase))
    trainable = tuning.trainable
    result, _ = fit(parts, run, plans, state, {"embedding": Embedding()} if config.callback.tensorboard else {})
    if parts.precision.resolved != "fp32" and last_frozen is None:
        result["agreement"] = agreement(tuning)
        share = f"{result['agreement']:.1%} of {CHECKED} test images"
        console.say(f"{parts.precision.resolved} and fp32 agree on {share}")
    return {**result, "parameters": parts.parameters, "trainable": trainable}


class Tuning:
    """A network, of which the head trains on features, and then perhaps the whole.

    Args:
        parts: of the config; the data is streamed: images are decoded on the way to the backbone, and never all held.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.head = head_name(parts.model.network)
        self.on_features = OnFeatures(parts.model, self.head)

    @property
    def trainable(self) -> int:
        """Parameters that train now."""
        return sum(parameter.numel() for parameter in self.parts.model.parameters() if parameter.requires_grad)

    @cached_property
    def features(self) -> Data:
        """The data as features; made when it is first needed."""
        with self.parts.division.world.first():  # the others find them in the cache
            return feature_data(self.parts, self.head)

    def head_phase(self) -> Phase:
        """The head alone, in fp32 whatever the backbone computes in."""
        return Phase(self.on_features, self.features, build.step(self.parts, self.on_features, precision="fp32"))

    def whole_phase(self) -> Phase:
        """The whole network."""
        config, parts = self.parts.config, self.parts
        unfreeze = config.unfreeze
        whole = Unfrozen(parts.model, unfreeze.batch_norm)
        groups = rate_groups(whole.network, config.optimizer.lr, unfreeze.lr, unfreeze.decay)
        with parts.division.world.first():
            data = build.data(config, parts.device, config.trainer.limit_batches)
        rates = ", ".join(f"{group['lr']:.2g}" for group in groups)
        console.say(f"unfrozen: {self.trainable:,} parameters train, at learning rates {rates}")
        return Phase(whole, data, build.step(parts, whole, groups))


def complete(config: DictConfig) -> DictConfig:
    """The config with the network, and what of ``dataset`` is left to the weights, filled in; see choose_weights."""
    return choose_weights(config)[0]


def choose_weights(config: DictConfig) -> tuple[DictConfig, Path | None]:
    """The file of weights to start from; None is random weights.

    Returns:
        The config, with what it leaves to the weights filled in under ``dataset``, and with the model of an earlier run
        in the place of its folder, so that it means the same anywhere; and the file.

    Raises:
        UserError: no such network, run, or weights.
    """
    if "backbone" not in config.model:
        raise UserError(
            f"model._target_={config.model._target_}: no backbone; expected model=finetuned model.backbone=NAME"
        )
    name = config.model.backbone
    if isinstance(name, str) and (name == "last" or Path(name).is_dir()):
        folder = paths.find_run(name)
        saved = OmegaConf.load(folder / "config.yaml")
        assert isinstance(saved, DictConfig)
        trust.check_names(OmegaConf.to_container(saved), folder, config.trust)
        trust.check_objects(saved, folder, config.trust, ["model"])
        values = {
            "model.backbone": saved.model.get("backbone", saved.model),
            "dataset.normalize": saved.dataset.normalize,
            **filled(config, {key: saved.dataset[key] for key in PREPROCESSING}),
        }
        if config.weights == "DEFAULT":
            values["weights"] = str(folder / "checkpoints" / "best.pt")
        config = updated(config, values)
    elif isinstance(name, str):
        found = pretrained.find(name, config.weights)
        return updated(config, filled(config, asdict(found.preprocessing))), found.path
    return config, None if config.weights is None else Path(config.weights)


def filled(config: DictConfig, preprocessing: dict[str, Any]) -> dict[str, Any]:
    """Values for what the ``dataset`` section leaves null; images are resized to no less than their size."""
    dataset = config.dataset
    values = {f"dataset.{key}": preprocessing[key] for key in PREPROCESSING if dataset[key] is None}
    if dataset.image_size is not None and dataset.resize_size is None:
        values["dataset.resize_size"] = dataset.image_size
    return values


def check(config: DictConfig) -> None:
    """Refuse keys that cannot go together."""
    augment = config.dataset.augment
    if config.views != 0 and (augment.mixup or augment.cutmix):
        raise UserError("dataset.augment: features of images mixed by mixup or cutmix cannot be kept; expected views=0")
    if config.unfreeze.epoch is not None and config.trainer.steps is not None:
        raise UserError(f"trainer.steps={config.trainer.steps}: with unfreeze.epoch, expected trainer.epochs")


def feature_data(parts: Parts, head: str) -> Data:
    """The data as features: kept ones, or for training images computed in every epoch (``views=0``)."""
    config, data, model, precision = parts.config, parts.data, parts.model, parts.precision
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


class Embedding(Callback):
    """Shows features of the test images on TensorBoard's projector, coloured by class."""

    def on_begin(self, trainer: Trainer) -> None:
        """Record them: they stay the same while the head trains."""
        loader, classes = trainer.data.test, trainer.data.classes
        if not isinstance(loader, FeatureLoader):
            return
        chosen = torch.linspace(0, len(loader.source) - 1, min(EMBEDDED, len(loader.source))).long()
        shown = loader.examples(chosen)
        labels = [classes[target] for target in shown["target"].tolist()]
        features = loader.views[0][chosen.to(loader.device)].float().cpu()
        # The projector shows principal components anyway, and the file is text: these keep nearly all distances.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            components = torch.pca_lowrank(features, min(COMPONENTS, *features.shape))[2]
        trainer.recorder.embedding((features - features.mean(dim=0)) @ components, labels, inputs(shown))


@torch.inference_mode()
def agreement(tuning: Tuning) -> float:
    """The share of test images to which the features give the class that the whole model in fp32 gives."""
    loader = tuning.features.test
    few = replace(loader, source=loader.source.subset(torch.arange(min(CHECKED, len(loader.source)))))
    same = total = 0
    for features, pictures in zip(few.epoch(), few.pictures(), strict=True):
        whole, quick = tuning.parts.model.eval()(inputs(pictures)), tuning.on_features(inputs(features))
        same += int((whole.argmax(dim=1) == quick.argmax(dim=1)).sum())
        total += len(whole)
    return same / total
