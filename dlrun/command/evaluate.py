"""``dlrun evaluate``: measure a trained model on one split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dlrun import build, console
from dlrun.command import abroad
from dlrun.dataset.folder_tree import listed
from dlrun.model.inference import inference
from dlrun.run.folder import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import open_trained
from dlrun.training.evaluation import score

SHOWN = 16
"""Pictures that the model gets wrong, at most."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Evaluate as the config says, into the run's folder; returns what goes into ``result.json``."""
    trained = open_trained(config, run)
    task, classes, loader = trained.task, trained.classes, trained.data.evaluation(config.split, config.limit)
    with inference(trained.model):
        scores = score(task, trained.model, loader, trained.precision, trained.division)
    home = abroad.home_scores(config, run.invocation, trained)
    classified = scores if isinstance(scores, ClassificationScores) else None
    found = scores.metrics() if classified is None else classified.detailed(config.top_k)
    metrics = {f"{config.split}/{name}": value for name, value in found.items()}
    figures = Table("metric", "value", title=f"{trained.config.weights}, {config.split}, {loader.counted}")
    for name, value in found.items():
        figures.add_row(name, f"{value:.4f}")
    console.say(figures)
    with build.recorder(trained.config, run.path) as recorder:
        if classified is not None:
            say_classes(classified, classes)
            recorder.table("predictions", list(prediction_rows(classified, classes, loader.numbers.tolist())))
        recorder.scalars(metrics, 0)
        task.show(scores, recorder, loader, classes, 0, SHOWN)
        rows = abroad.compare(home, classified, classes) if home and classified else []
        compared = abroad.show(rows, classes, recorder) if rows else {"metrics": {}}
    made = {**compared, "metrics": metrics | compared["metrics"], "classes": classes, "examples": loader.num_images}
    if classified is not None:
        made["per_class"] = {
            name: [None if math.isnan(value) else value for value in values.tolist()]
            for name, values in classified.per_class().items()
        }
    return made


def say_classes(scores: ClassificationScores, classes: list[str]) -> None:
    """Print precision, recall and F1 of every class."""
    per_class = scores.per_class()
    counts = scores.targets.bincount(minlength=len(classes)).tolist()
    table = Table("class", *per_class, "examples")
    for number, name in enumerate(classes):
        table.add_row(name, *(f"{values[number]:.4f}" for values in per_class.values()), str(counts[number]))
    console.say(table)
    if missing := [name for name, count in zip(classes, counts, strict=True) if not count]:
        console.say(f"no examples of {listed(missing)}: left out of the means, unless predicted")


def prediction_rows(scores: ClassificationScores, classes: list[str], numbers: list[int]) -> Iterator[dict[str, Any]]:
    """A row for every example, with its number in the split, in the order of the split."""
    probabilities, predictions = scores.probabilities.max(dim=1)
    rows = zip(numbers, scores.targets.tolist(), predictions.tolist(), probabilities.tolist(), strict=True)
    for index, target, prediction, probability in rows:
        yield {
            "index": index,
            "target": classes[target],
            "prediction": classes[prediction],
            "probability": f"{probability:.6f}",
            "correct": int(target == prediction),
        }
