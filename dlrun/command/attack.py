"""``dlrun attack``: a model's accuracy under an adversarial attack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor

from dlrun import build, console, weights
from dlrun.attack.attack import Attack
from dlrun.attack.ball import largest, length
from dlrun.attack.checks import Checked, logits_of, not_falling, signs_of_masking
from dlrun.command.classifier import classifier
from dlrun.dataset.batch import Batch, inputs
from dlrun.dataset.loader import Loader
from dlrun.dataset.source import labels, part
from dlrun.experiment.statistics import wilson
from dlrun.figure.accuracy_curve import curve
from dlrun.figure.adversarial import adversarial
from dlrun.figure.text import NORMS, percent
from dlrun.model.inference import inference
from dlrun.record.recorder import Recorder
from dlrun.run.folder import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import Trained, open_trained
from dlrun.training.evaluation import score

Scoring = Callable[[Callable[[Batch], Batch], Callable[[Batch, Batch], None]], ClassificationScores]

SHOWN = 6
"""Images in the picture."""


@dataclass
class Attacked:
    """What an attack with one radius left of a split."""

    eps: float
    scores: ClassificationScores
    """Of the attacked images."""
    images: list[Tensor]
    """The attacked inputs on the CPU, batches of float (B, ...) in [0,1]; none unless they are to be kept."""
    linf: Tensor
    """The largest change of a pixel, (N,)."""
    l2: Tensor
    """The Euclidean length of the change, (N,)."""
    queries: int
    seconds: float

    @property
    def right(self) -> Tensor:
        """Which images the model still gets right, bool (N,)."""
        return self.scores.predictions == self.scores.targets

    @property
    def accuracy(self) -> float:
        """The share of them."""
        return int(self.right.sum()) / len(self.right)


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Attack as the config says, into the run's folder; returns what goes into ``result.json``."""
    attack = build.attack(config)
    trained = open_trained(config, run)
    loader = trained.data.evaluation(config.split, config.limit)
    clean, steps = measure(trained, loader, attack, keep=config.save)
    found: dict[str, int] = {}
    warnings = not_falling([(step.eps, step.accuracy) for step in steps])
    if config.check and max(attack.radii) > 0:
        checked = check(trained, loader, config.check, attack, steps)
        warnings += checked.warnings
        found |= {"checked": checked.examples, "check_queries": checked.queries}

    say_table(clean, steps, f"{trained.config.weights}, {config.split}, {loader.counted}, {attack.norm}")
    for warning in warnings:
        console.say(f"warning: {warning}")
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("curve", [row(step) for step in steps])
        recorder.table("examples", list(example_rows(clean, steps, trained.classes, loader.numbers.tolist())))
        draw(recorder, clean, steps, trained, loader, attack)
    if config.save:
        tensors = {"images": torch.stack([torch.cat(step.images) for step in steps]), "targets": clean.targets}
        weights.save({**tensors, "eps": [step.eps for step in steps]}, run.path / "adversarial.pt")
    return {
        "metrics": {"clean_accuracy": clean.metrics()["accuracy"], "robust_accuracy": steps[-1].accuracy},
        "curve": [row(step) for step in steps],
        "examples": len(clean.targets),
        "warnings": warnings,
        **found,
    }


def check(trained: Trained, loader: Loader, most: int, attack: Attack, steps: Sequence[Attacked]) -> Checked:
    """The self-checks on ``most`` of the attacked examples at most, for as many looks as the attack took."""
    strongest = max(steps, key=lambda step: step.eps)
    chosen = part(labels(loader.source), len(strongest.right), most)
    batch = loader.examples(chosen)
    images, targets = inputs(batch).to(trained.device), batch["target"].to(trained.device)
    resist = strongest.right[chosen].to(trained.device)
    budget = sum(step.queries for step in steps)
    console.wait("self-checks")
    checked = signs_of_masking(trained.model, attack, images, targets, resist, budget)
    console.say(
        f"self-checks: {checked.examples:,} of {len(images):,} examples, {checked.queries:,} looks at the model"
        f" (at most the attack's {budget:,})"
    )
    return checked


def measure(
    trained: Trained, loader: Loader, attack: Attack, keep: bool = False
) -> tuple[ClassificationScores, list[Attacked]]:
    """Scores of the clean images, and of the attacked ones for each of the attack's radii.

    Args:
        trained: the model.
        loader: the images.
        attack: what comes in front of the scoring loop.
        keep: the attacked images too.

    Raises:
        UserError: the task is no classification.
    """
    task = classifier(trained.task, "an attack")

    def scores(
        before: Callable[[Batch], Batch] | None = None, watch: Callable[[Batch, Batch], None] | None = None
    ) -> ClassificationScores:
        with inference(trained.model):
            found = score(task, trained.model, loader, trained.precision, trained.division, before, watch)
        assert isinstance(found, ClassificationScores)
        return found

    clean, steps = scores(), list[Attacked]()
    for eps in attack.radii:
        steps.append(one_radius(trained, attack.at(eps), scores, keep, loader.num_images))
        low, high = wilson(int(steps[-1].right.sum()), len(clean.targets))
        console.say(
            f"eps={eps:.4g}: accuracy {steps[-1].accuracy:.4f} ({low:.4f} to {high:.4f}), {steps[-1].seconds:.1f} s"
        )
    return clean, steps


def one_radius(trained: Trained, attack: Attack, scores: Scoring, keep: bool, total: int) -> Attacked:
    """Attack all batches, of so many images."""
    images: list[Tensor] = []
    linf: list[Tensor] = []
    l2: list[Tensor] = []

    def before(batch: Batch) -> Batch:
        return {**batch, next(iter(batch)): attack(trained.model, inputs(batch), batch["target"])}

    def watch(batch: Batch, after: Batch) -> None:
        clean, attacked = inputs(batch), inputs(after)
        change = attacked - clean
        if keep:
            images.append(attacked.cpu())
        linf.append(largest(change).cpu())
        l2.append(length(change).cpu())
        advance(len(clean))

    started = time.perf_counter()
    with console.bar(f"eps={attack.eps:.4g}", total, lambda: f"{attack.looks_so_far:,} looks at the model") as advance:
        found = scores(before, watch)
    seconds = time.perf_counter() - started
    queries = sum(trained.division.world.gather([attack.queries]))
    return Attacked(attack.eps, found, images, torch.cat(linf), torch.cat(l2), queries, round(seconds, 3))


def row(step: Attacked) -> dict[str, float]:
    """The figures of one radius; mean changes are those of the images that it fooled or that resisted, both."""
    low, high = wilson(int(step.right.sum()), len(step.right))
    return {
        "eps": step.eps,
        "robust_accuracy": step.accuracy,
        "low": low,
        "high": high,
        "mean_linf": float(step.linf.mean()),
        "mean_l2": float(step.l2.mean()),
        "queries": step.queries,
        "seconds": step.seconds,
    }


def say_table(clean: ClassificationScores, steps: Sequence[Attacked], title: str) -> None:
    """Print the figures."""
    right, total = int((clean.predictions == clean.targets).sum()), len(clean.targets)
    low, high = wilson(right, total)
    table = Table(
        "eps", "accuracy", "95% interval", "mean linf", "mean l2", "queries per image", "seconds", title=title
    )
    table.add_row("clean", f"{right / total:.4f}", f"{low:.4f} to {high:.4f}", "", "", "", "")
    for step in steps:
        figures = row(step)
        table.add_row(
            f"{step.eps:.4g}",
            f"{step.accuracy:.4f}",
            f"{figures['low']:.4f} to {figures['high']:.4f}",
            f"{figures['mean_linf']:.4f}",
            f"{figures['mean_l2']:.3f}",
            f"{step.queries / total:.1f}",
            f"{step.seconds:.1f}",
        )
    console.say(table)


def example_rows(
    clean: ClassificationScores, steps: Sequence[Attacked], classes: list[str], numbers: list[int]
) -> Iterator[dict[str, Any]]:
    """A row for every radius and example, with its number in the split, in the order of the split."""
    names = ["target", "clean_prediction", "clean_probability", "prediction", "probability", "correct", "linf", "l2"]
    before = clean.probabilities.max(dim=1).values.tolist()
    for step in steps:
        columns = zip(
            [classes[target] for target in clean.targets.tolist()],
            [classes[prediction] for prediction in clean.predictions.tolist()],
            [f"{probability:.6f}" for probability in before],
            [classes[prediction] for prediction in step.scores.predictions.tolist()],
            [f"{probability:.6f}" for probability in step.scores.probabilities.max(dim=1).values.tolist()],
            step.right.int().tolist(),
            [f"{change:.6f}" for change in step.linf.tolist()],
            [f"{change:.6f}" for change in step.l2.tolist()],
            strict=True,
        )
        for index, values in zip(numbers, columns, strict=True):
            yield {"eps": step.eps, "index": index, **dict(zip(names, values, strict=True))}


def draw(
    recorder: Recorder,
    clean: ClassificationScores,
    steps: Sequence[Attacked],
    trained: Trained,
    loader: Loader,
    attack: Attack,
) -> None:
    """Accuracies, their curve over several radii, and of images some that the last radius fooled."""
    name = type(attack).__name__
    for number, step in enumerate(steps):
        recorder.scalars({"robust_accuracy": step.accuracy, "eps": step.eps}, number)
    recorder.scalars({"clean_accuracy": clean.metrics()["accuracy"]}, 0)
    if len(steps) > 1:
        ordered = sorted(steps, key=lambda step: step.eps)
        values = [step.accuracy for step in ordered]
        radii, total = [step.eps for step in ordered], len(clean.targets)
        title = rf"{name}: accuracy falls from {values[0]:.1%} to {values[-1]:.1%} at $\epsilon$ = {radii[-1]:.3g}"
        recorder.figure("curve", curve(title, radii, {"attacked": values}, total, attack.norm))
    if not next(iter(loader.fields.values())).is_picture:
        return
    last = steps[-1]
    fooled = (~last.right & (clean.predictions == clean.targets)).nonzero().flatten()
    chosen = (fooled if len(fooled) else torch.arange(len(last.right)))[:SHOWN]
    images = inputs(loader.examples(chosen)).to(trained.device)
    attacked = attack.at(last.eps)(trained.model, images, clean.targets[chosen].to(trained.device))
    captions = list(zip(seen(trained, images), seen(trained, attacked), strict=True))
    how = rf"{name} ({NORMS[attack.norm]}, $\epsilon$ = {last.eps:.3g})"
    right = int((clean.predictions == clean.targets).sum())
    title = f"{how} fools the model in {len(fooled):,} of the {right:,} it had right"
    wrong = [bool(len(fooled))] * len(images)
    recorder.figure("examples", adversarial(title, images.cpu(), attacked.cpu(), captions, wrong))


def seen(trained: Trained, images: Tensor) -> list[str]:
    """What the model sees in images, and how sure it is."""
    probabilities, predictions = logits_of(trained.model, images).softmax(dim=1).max(dim=1)
    return [
        f"{trained.classes[prediction]} ({percent(probability)})"
        for prediction, probability in zip(predictions.tolist(), probabilities.tolist(), strict=True)
    ]
