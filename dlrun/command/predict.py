"""``dlrun predict``: the most probable classes of pictures."""

from __future__ import annotations

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
from dlrun.dataset.data import reads_text
from dlrun.errors import UserError
from dlrun.figure.image_grid import image_grid
from dlrun.figure.text import percent
from dlrun.model.inference import inference
from dlrun.model.logits import class_logits
from dlrun.paths import shown
from dlrun.run.folder import Run
from dlrun.task.captioning import Captioning
from dlrun.task.clip import Clip
from dlrun.task.segmentation import Segmentation
from dlrun.trained import open_trained

SHOWN = 16  # pictures in the table and on TensorBoard


class Prediction(NamedTuple):
    """The classes of one picture, most probable first."""

    path: Path
    labels: list[str]
    probabilities: list[float]


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Predict as the config says, into the run's folder; returns what goes into ``result.json``."""
    check_targets(config)
    if config.classes is not None and not issubclass(get_object(config.task._target_), Clip):
        raise UserError("classes: are described to a network of images and texts; expected a run of task=clip, or null")
    if reads_text(config.dataset):
        return predict_texts(config, run)
    examples.need_images(config)
    files = examples.find(config.input, config)
    trained = open_trained(config, run, with_data=False)
    if isinstance(trained.task, Segmentation):
        return masks(config, run, trained, files)
    if isinstance(trained.task, Captioning):
        return describe(config, run, trained, files)
    classes, vectors = trained.classes, None
    if isinstance(trained.task, Clip):
        classes, vectors = described(config, trained)
    else:
        classifier(trained.task, "predict")
    predictions: list[Prediction] = []
    shown: list[Tensor] = []
    with console.bar("pictures", len(files)) as advance:
        for found, images in examples.read(files, trained.config):
            interrupt.check()
            with torch.inference_mode(), trained.precision.autocast(), inference(trained.model):
                outputs = trained.model(images.to(trained.device)).float()
                logits = class_logits(outputs) if vectors is None else outputs @ vectors.T
            top = logits.softmax(dim=1).topk(min(config.top_k, logits.shape[1]))
            for path, places, values in zip(found, top.indices.tolist(), top.values.tolist(), strict=True):
                predictions.append(Prediction(path, [classes[place] for place in places], values))
            shown += list(images[: SHOWN - len(shown)])
            advance(len(found))
    say_table(predictions)
    captions = [f"{labels[0]} ({percent(values[0])})" for _, labels, values in predictions[:SHOWN]]
    some = f"{len(shown)} of {len(predictions):,}" if len(shown) < len(predictions) else f"{len(shown)}"
    title = f"What the model sees in {some} pictures, and how sure it is"
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", list(rows(predictions)))
        recorder.figure("predictions", image_grid(title, torch.stack(shown), captions))
    return {"images": len(predictions), "unreadable": len(files) - len(predictions), "classes": classes}


def say_table(predictions: list[Prediction]) -> None:
    """Print all classes of one picture, or the first few of several."""
    most = 3 if len(predictions) > 1 else len(predictions[0].labels)
    table = Table("file", "rank", "class", "probability")
    for path, labels, values in predictions[:SHOWN]:
        for rank, (label, value) in enumerate(zip(labels[:most], values, strict=False), start=1):
            table.add_row(shown(path) if rank == 1 else "", str(rank), label, f"{value:.4f}")
    console.say(table)
    if len(predictions) > SHOWN:
        console.say(f"and {len(predictions) - SHOWN:,} more in predictions.csv")


def rows(predictions: list[Prediction]) -> Iterator[dict[str, Any]]:
    """A row for every picture and rank."""
    for file, labels, values in predictions:
        for rank, (label, value) in enumerate(zip(labels, values, strict=True), start=1):
            yield {"file": shown(file), "rank": rank, "class": label, "probability": f"{value:.6f}"}
