"""``dlrun predict``: the most probable classes of pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor

from dlrun import build, console, device, interrupt, paths, seeding
from dlrun.board import Board
from dlrun.dataset.image_file import SUFFIXES
from dlrun.dataset.image_folder import FileSource
from dlrun.dataset.loader import Resized
from dlrun.errors import UserError
from dlrun.figure.image_grid import image_grid
from dlrun.model import pretrained
from dlrun.precision import Precision
from dlrun.run import Run
from dlrun.task.classification import class_logits

SHOWN = 16  # pictures in the table and on TensorBoard


class Prediction(NamedTuple):
    """The classes of one picture, most probable first."""

    path: Path
    labels: list[str]
    probabilities: list[float]


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Predict as the config says, into the run's folder; returns what goes into ``result.json``."""
    files = find_files(config.input)
    classes = choose_weights(config)
    build.check_targets(config)
    options = build.trainer_options(config)
    place = device.choose(options.device)
    seeding.seed_everything(config.seed, options.deterministic)
    task = build.task(config)
    model = build.model(config, task, place).eval()
    run.save_config(config)
    precision = Precision(options.precision, place)
    predictions: list[Prediction] = []
    shown: list[Tensor] = []
    for paths_, images in batches(config, files):
        interrupt.check()
        with torch.inference_mode(), precision.autocast():
            logits = class_logits(model(images.to(place).float().div_(255)).float())
        top = logits.softmax(dim=1).topk(min(config.top_k, logits.shape[1]))
        for path, places, values in zip(paths_, top.indices.tolist(), top.values.tolist(), strict=True):
            predictions.append(Prediction(path, [classes[place] for place in places], values))
        shown += list(images[: SHOWN - len(shown)])
    if not predictions:
        raise UserError(f"input={config.input}: none of its {len(files)} images can be read")
    say_table(predictions)
    write_csv(run.path / "predictions.csv", predictions)
    captions = [f"{labels[0]} {values[0]:.0%}" for _, labels, values in predictions[:SHOWN]]
    board = Board(run.path)
    board.figure("predictions", image_grid(torch.stack(shown), captions), 0)
    board.close()
    return {"images": len(predictions), "unreadable": len(files) - len(predictions), "classes": classes}


def find_files(given: str | None) -> list[Path]:
    """The image files that ``input`` names.

    Raises:
        UserError: there are none.
    """
    if given is None:
        raise UserError("input: none given; expected an image file or a folder of them")
    path = Path(given)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise UserError(f"input={given}: no images in this folder; expected {', '.join(sorted(SUFFIXES))}")
        return found
    if not path.is_file():
        raise UserError(f"input={given}: no such file or folder; expected an image or a folder of images")
    return [path]


def choose_weights(config: DictConfig) -> list[str]:
    """Find the weights, which the config then names as a file; the names of the classes that they tell apart.

    Raises:
        UserError: no weights are named, or they cannot be had.
    """
    if config.run is not None:
        folder = paths.find_run(config.run)
        config.weights = config.weights or str(folder / "checkpoints" / "best.pt")
        try:
            classes: list[str] = json.loads((folder / "result.json").read_text())["classes"]
            return classes
        except (FileNotFoundError, KeyError):  # the run has not come to its end
            return [str(number) for number in range(config.dataset.num_classes)]
    name = torchvision_name(config.model)
    if name is not None:
        found = pretrained.find(name, config.weights or "DEFAULT")
        config.weights = str(found.path)
        chosen = [override.lstrip("+~").split("=")[0] for override in HydraConfig.get().overrides.task]
        for key, value in asdict(found.preprocessing).items():
            if "dataset" not in chosen and f"dataset.{key}" not in chosen:
                config.dataset[key] = value
        if config.dataset.num_classes == len(found.classes):
            return found.classes
    if config.weights is None:
        raise UserError("weights: none given; expected run=DIR, or model=NAME weights=FILE")
    return [str(number) for number in range(config.dataset.num_classes)]


def torchvision_name(model: DictConfig) -> str | None:
    """The name of the torchvision classifier that a model is, if it is one."""
    if isinstance(model.get("backbone"), str):
        return str(model.backbone)
    target = str((model.get("network") or model).get("_target_"))
    return target.rpartition(".")[2] if target.startswith("torchvision.models.") else None


def batches(config: DictConfig, files: list[Path]) -> Iterator[tuple[list[Path], Tensor]]:
    """The pictures as the model takes them, uint8 (B, C, H, W), a few at a time; of a folder, those that can be read.

    Raises:
        UserError: the one file that was named cannot be read.
    """
    dataset = config.dataset
    source = FileSource(files, torch.zeros(len(files), dtype=torch.int64), dataset.resize_size, dataset.channels)
    sized = Resized(source, dataset.channels, dataset.image_size, dataset.resize_size)

    def read(index: int) -> Tensor | None:
        try:
            return sized[index]
        except UserError as error:
            message = str(error).removeprefix("dataset.root: ")
            if len(files) == 1:
                raise UserError(f"input={message}") from None
            console.say(f"warning: {message}")
            return None

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), dataset.eval_batch_size):
            numbers = range(start, min(start + dataset.eval_batch_size, len(files)))
            read_ones = list(zip(numbers, pool.map(read, numbers), strict=True))
            images = [image for _, image in read_ones if image is not None]
            if images:
                yield [files[number] for number, image in read_ones if image is not None], torch.stack(images)


def say_table(predictions: list[Prediction]) -> None:
    """Print all classes of one picture, or the first few of several."""
    most = 3 if len(predictions) > 1 else len(predictions[0].labels)
    table = Table("file", "rank", "class", "probability")
    for path, labels, values in predictions[:SHOWN]:
        for rank, (label, value) in enumerate(zip(labels[:most], values, strict=False), start=1):
            table.add_row(str(path) if rank == 1 else "", str(rank), label, f"{value:.4f}")
    console.say(table)
    if len(predictions) > SHOWN:
        console.say(f"and {len(predictions) - SHOWN:,} more in predictions.csv")


def write_csv(path: Path, predictions: list[Prediction]) -> None:
    """A row for every picture and rank."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "rank", "class", "probability"])
        for file, labels, values in predictions:
            for rank, (label, value) in enumerate(zip(labels, values, strict=True), start=1):
                writer.writerow([file, rank, label, f"{value:.6f}"])
