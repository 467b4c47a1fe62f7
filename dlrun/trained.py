"""A trained model, for the verbs that read one: the only place where its weights and class names are found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from omegaconf import DictConfig, OmegaConf

from dlrun import build, paths
from dlrun.build import Parts
from dlrun.config import saved
from dlrun.config.frozen import updated
from dlrun.config.invocation import Invocation
from dlrun.config.targets import check_targets
from dlrun.dataset import vocabulary
from dlrun.errors import UserError
from dlrun.model import published
from dlrun.model.timm_network import imagenet
from dlrun.run.folder import Run

OF_THE_MODEL = ("image_size", "resize_size", "channels", "shape", "words", "num_classes", "mean", "std", "normalize")
"""Keys of ``dataset`` that belong to the weights: a run's are taken, whatever data it is tried on."""

IMAGENETS = ("imagenet", "sample_photos")
"""Datasets of ImageNet's classes, which leave their sizes to the weights."""


@dataclass
class Trained(Parts):
    """What ``run=DIR``, or ``model=NAME weights=FILE dataset=NAME``, stands for; the model is in evaluation mode.

    Args:
        classes: their names.
    """

    classes: list[str]


def open_trained(config: DictConfig, run: Run, with_data: bool = True) -> Trained:
    """Open the trained model that a config names.

    Args:
        config: the whole config.
        run: gets the config with what only the data could tell.
        with_data: False reads the dataset only where nothing else tells its classes, mean and std.

    Raises:
        UserError: neither a run nor weights are given, or anything in the config is wrong.
    """
    trained = load(config, run.invocation, with_data)
    run.save_config(trained.config)
    return trained


def load(config: DictConfig, invocation: Invocation, with_data: bool = True) -> Trained:
    """The same for a command that has no run of its own; nothing is written."""
    check_targets(config)
    config, classes = choose_weights(config, invocation)
    parts = build.parts(config, with_data or classes is None, known_classes=known_classes(config))
    parts.model.eval()
    return Trained(**vars(parts), classes=parts.data.classes if parts.loaded else classes or [])


def choose_weights(config: DictConfig, invocation: Invocation) -> tuple[DictConfig, list[str] | None]:
    """Find the weights, which the config then names as a file, and the names of the classes that they tell apart.

    ``dataset=imagenet`` and ``sample_photos`` stand for what published weights were trained on: they take their sizes,
    mean and std, but for those that the user or an experiment sets.

    Returns:
        The config, and the names, or their numbers where a run did not come to its end; None where only the dataset
        knows them.

    Raises:
        UserError: no weights are named, or they cannot be had.
    """
    if config.run is not None:
        folder = paths.find_run(config.run)
        of_run = OmegaConf.load(folder / "config.yaml").dataset
        own = {f"dataset.{key}": of_run[key] for key in OF_THE_MODEL if key in of_run}
        values = {key: value for key, value in own.items() if key not in invocation.keys}
        key, kept = "dataset.source.vocabulary", folder / vocabulary.FILE
        if "vocabulary" in config.dataset.source and kept.exists() and key not in invocation.keys:
            values[key] = str(kept)
        values["weights"] = config.weights or str(folder / "checkpoints" / "best.pt")
        return updated(config, values), known_classes(config) or numbers_of(config)
    is_imagenet, name = invocation.choices.get("dataset") in IMAGENETS, published_name(config.model)
    if is_imagenet and name is not None:
        from dlrun.model import pretrained  # torchvision, which a model of one's own does not need, is slow to import

        found = pretrained.find(name, config.weights or "DEFAULT")
        filled = {f"dataset.{key}": value for key, value in asdict(found.preprocessing).items()}
        filled["dataset.num_classes"] = len(found.classes)
        usual = OmegaConf.load(paths.configs() / "dataset" / "sample_photos.yaml")
        own = {
            key: value
            for key, value in filled.items()
            if key not in invocation.keys
            and OmegaConf.select(config, key) == OmegaConf.select(usual, key.removeprefix("dataset."))
        }
        config = updated(config, {**own, "weights": str(found.path)})
    if config.weights is None:
        raise UserError("weights: none given; expected run=DIR, or model=NAME weights=FILE dataset=NAME")
    if not is_imagenet:
        return config, None
    classes, numbers = imagenet() if name is None else found.classes, numbers_of(config)
    return config, classes if len(classes) == len(numbers) else numbers


def known_classes(config: DictConfig) -> list[str] | None:
    """The names of the classes that a run's network tells apart; None without a run, or where it did not note them."""
    if config.run is None:
        return None
    found: list[str] | None = saved.noted(paths.find_run(config.run), "classes", None)
    return found or None


def numbers_of(config: DictConfig) -> list[str]:
    """The classes by their numbers."""
    return [str(number) for number in range(config.dataset.num_classes or 0)]


def published_name(model: DictConfig) -> str | None:
    """The name of the published classifier that a model is, if it is one; see :mod:`dlrun.model.published`."""
    if isinstance(model.get("backbone"), str):
        return str(model.backbone)
    target = str((model.get("network") or model).get("_target_"))
    if target == "dlrun.model.efficientnet_lite0.load":
        return published.EFFICIENTNET_LITE0
    if target == "dlrun.model.timm_network.load":
        return f"{published.TIMM}{model.name}"
    return target.rpartition(".")[2] if target.startswith("torchvision.models.") else None
