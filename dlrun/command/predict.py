"""``dlrun predict``: the most probable classes of pictures, of files or of a dataset."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import get_object
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor

from dlrun import build, console, interrupt
from dlrun.command.classifier import classifier
from dlrun.command.predict_captions import describe
from dlrun.command.predict_descriptions import described
from dlrun.command.predict_masks import masks
from dlrun.command.predict_texts import predict_texts
from dlrun.config.targets import check_targets
from dlrun.dataset import examples
from dlrun.dataset.batch import inputs
from dlrun.dataset.data import reads_text
from dlrun.errors import UserError
from dlrun.figure.image_grid import image_grid
from dlrun.figure.ranking import ranking
from dlrun.figure.text import counted, percent
from dlrun.model.inference import inference
from dlrun.model.logits import class_logits
from dlrun.paths import shown
from dlrun.run.folder import Run
from dlrun.task.captioning import Captioning
from dlrun.task.clip import Clip
from dlrun.task.segmentation import Segmentation
from dlrun.trained import Trained, open_trained

SHOWN = 16  # pictures in the table and on TensorBoard
RANKED = 6  # pictures beside the bars of their classes
RANKING = "What the model sees: the {} classes with the highest scores"


class Prediction(NamedTuple):
    """The classes of one picture, most probable first."""

    name: str
    labels: list[str]
    scores: list[float]
    """What the model gives them: logits."""
    probabilities: list[float]
    target: str | None
    """The class that it is of, if that is known."""
    target_score: float


Pictures = Iterator[tuple[list[str], Tensor, list[int | None]]]
"""Names, images (B, C, H, W) in [0,1], and classes where they are known, a few at a time."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Predict as the config says, into the run's folder; returns what goes into ``result.json``."""
    check_targets(config)
    if config.classes is not None and not issubclass(get_object(config.task._target_), Clip):
        raise UserError("classes: are described to a network of images and texts; expected a run of task=clip, or null")
    if reads_text(config.dataset):
        return predict_texts(config, run)
    examples.need_images(config)
    chosen = "dataset" not in run.invocation.reopened and run.invocation.choices.get("dataset") != "imagenet"
    files = [] if config.input is None and chosen else examples.find(config.input, config)
    trained = open_trained(config, run, with_data=not files)
    if isinstance(trained.task, Segmentation):
        return masks(config, run, trained, files or examples.find(config.input, config))
    if isinstance(trained.task, Captioning):
        return describe(config, run, trained, files or examples.find(config.input, config))
    classes, vectors = trained.classes, None
    if isinstance(trained.task, Clip):
        classes, vectors = described(config, trained)
    else:
        classifier(trained.task, "predict")
    predictions: list[Prediction] = []
    shown: list[Tensor] = []
    pictures = of_files(files, trained) if files else of_dataset(trained)
    with console.bar("pictures", len(files) or trained.data.test.num_images) as advance:
        for names, images, targets in pictures:
            interrupt.check()
            with torch.inference_mode(), trained.precision.autocast(), inference(trained.model):
                outputs = trained.model(images.to(trained.device)).float()
                logits = (class_logits(outputs) if vectors is None else outputs @ vectors.T).cpu()
            predictions += ranked(names, logits, targets, classes, config.top_k)
            shown += list(images[: SHOWN - len(shown)].cpu())
            advance(len(names))
    say_table(predictions)
    captions = [f"{one.labels[0]} ({percent(one.probabilities[0])})" for one in predictions[:SHOWN]]
    some = (f"{len(shown)} of " if len(shown) < len(predictions) else "") + counted(len(predictions), "picture")
    title = f"What the model sees in {some}, and how sure it is"
    metrics = measured(predictions)
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", list(rows(predictions)))
        recorder.figure("predictions", image_grid(title, torch.stack(shown), captions))
        best = [(one.labels, one.scores, one.target) for one in predictions[:RANKED]]
        recorder.figure("ranking", ranking(RANKING.format(config.top_k), torch.stack(shown[:RANKED]), best))
        recorder.scalars(metrics, 0)
    unreadable = max(0, len(files) - len(predictions))
    return {"metrics": metrics, "images": len(predictions), "unreadable": unreadable, "classes": classes}


def of_files(files: list[Path], trained: Trained) -> Pictures:
    """Pictures of files, whose classes nobody has said."""
    for found, images in examples.read(files, trained.config):
        yield [shown(file) for file in found], images, [None] * len(found)


def of_dataset(trained: Trained) -> Pictures:
    """The test images of the dataset, by their places and classes."""
    place = itertools.count()
    for batch in trained.data.evaluation("test").epoch():
        targets: list[int | None] = batch["target"].tolist()
        yield [f"{next(place)} ({trained.classes[one or 0]})" for one in targets], inputs(batch), targets


def ranked(
    names: list[str], logits: Tensor, targets: list[int | None], classes: list[str], top_k: int
) -> Iterator[Prediction]:
    """The most probable classes of pictures with these logits (B, K)."""
    probabilities, top = logits.softmax(dim=1), logits.topk(min(top_k, logits.shape[1]))
    for name, own, row, scores, places, target in zip(
        names, logits, probabilities, top.values.tolist(), top.indices, targets, strict=True
    ):
        labels = [classes[place] for place in places.tolist()]
        is_of = (None, math.nan) if target is None else (classes[target], float(own[target]))
        yield Prediction(name, labels, scores, row[places].tolist(), *is_of)


def measured(predictions: list[Prediction]) -> dict[str, float]:
    """Of pictures whose classes are known: the shares right at once and among the first, and the mean raw score."""
    known = [one for one in predictions if one.target is not None]
    if not known:
        return {}
    return {
        "accuracy": sum(one.labels[0] == one.target for one in known) / len(known),
        "top_accuracy": sum(one.target in one.labels for one in known) / len(known),
        "score": sum(one.target_score for one in known) / len(known),
    }


def say_table(predictions: list[Prediction]) -> None:
    """Print all classes of one picture, or the first few of several."""
    most = 3 if len(predictions) > 1 else len(predictions[0].labels)
    table = Table("file", "rank", "class", "score", "probability")
    for one in predictions[:SHOWN]:
        for rank, (label, score, value) in enumerate(
            zip(one.labels[:most], one.scores, one.probabilities, strict=False), start=1
        ):
            table.add_row(one.name if rank == 1 else "", str(rank), label, f"{score:.2f}", f"{value:.4f}")
    console.say(table)
    if len(predictions) > SHOWN:
        console.say(f"and {len(predictions) - SHOWN:,} more in predictions.csv")


def rows(predictions: list[Prediction]) -> Iterator[dict[str, Any]]:
    """A row for every picture and rank."""
    for one in predictions:
        for rank, (label, score, value) in enumerate(
            zip(one.labels, one.scores, one.probabilities, strict=True), start=1
        ):
            numbers = {"score": f"{score:.4f}", "probability": f"{value:.6f}"}
            yield {"file": one.name, "rank": rank, "class": label, **numbers}
