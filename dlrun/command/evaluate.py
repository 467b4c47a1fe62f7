"""``dlrun evaluate``: measure a trained model on one split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dlrun import build, console
from dlrun.command.classifier import classifier
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
    classifier(task, "evaluate")
    with inference(trained.model):
        scores = score(task, trained.model, loader, trained.precision, trained.division)
    assert isinstance(scores, ClassificationScores)
    detailed = scores.detailed(config.top_k)
    say_tables(detailed, scores, classes, f"{trained.config.weights}, {config.split}, {loader.counted}")
    metrics = {f"{config.split}/{name}": value for name, value in detailed.items()}
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("predictions", list(prediction_rows(scores, classes, loader.numbers.tolist())))
        recorder.scalars(metrics, 0)
        task.show(scores, recorder, loader, classes, 0, SHOWN)
    per_class = {
        name: [None if math.isnan(value) else value for value in values.tolist()]
        for name, values in scores.per_class().items()
    }
    return {
        "metrics": metrics,
        "per_class": per_class,
        "classes": classes,
        "examples": loader.num_images,
    }


def say_tables(detailed: dict[str, float], scores: ClassificationScores, classes: list[str], title: str) -> None:
    """Print the figures, and precision, recall and F1 of every class."""
    figures = Table("metric", "value", title=title)
    for name, value in detailed.items():
        figures.add_row(name, f"{value:.4f}")
    per_class = scores.per_class()
    counts = scores.targets.bincount(minlength=len(classes)).tolist()
    table = Table("class", *per_class, "examples")
    for number, name in enumerate(classes):
        table.add_row(name, *(f"{values[number]:.4f}" for values in per_class.values()), str(counts[number]))
    console.say(figures, table)
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
