"""``dlrun evaluate``: measure a trained model on one split."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dlrun import console
from dlrun.command.classifier import classifier
from dlrun.figure.confusion_matrix import confusion_matrix
from dlrun.logger.board import Board
from dlrun.model.inference import inference
from dlrun.run.folder import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import open_trained
from dlrun.training.evaluation import score


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Evaluate as the config says, into the run's folder; returns what goes into ``result.json``."""
    trained = open_trained(config, run)
    task, classes, loader = trained.task, trained.classes, trained.data.evaluation(config.split, config.limit)
    classifier(task, "evaluate")
    with inference(trained.model):
        scores = score(task, trained.model, loader, trained.precision)
    assert isinstance(scores, ClassificationScores)
    detailed = scores.detailed(config.top_k)
    say_tables(detailed, scores, classes, f"{config.weights}, {config.split}, {loader.num_images:,} images")
    write_predictions(run.path / "predictions.csv", scores, classes)
    confusion_matrix(scores.confusion(), classes).savefig(run.path / "confusion_matrix.png", dpi=120)
    metrics = {f"{config.split}/{name}": value for name, value in detailed.items()}
    board = Board(run.path)
    board.scalars(metrics, 0)
    task.log_scores(board, scores, loader, classes, 0)
    board.close()
    per_class = {name: values.tolist() for name, values in scores.per_class().items()}
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


def write_predictions(path: Path, scores: ClassificationScores, classes: list[str]) -> None:
    """A row for every example, in the order of the split."""
    probabilities, predictions = scores.probabilities.max(dim=1)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["index", "target", "prediction", "probability", "correct"])
        rows = zip(scores.targets.tolist(), predictions.tolist(), probabilities.tolist(), strict=True)
        for index, (target, prediction, probability) in enumerate(rows):
            correct = int(target == prediction)
            writer.writerow([index, classes[target], classes[prediction], f"{probability:.6f}", correct])
