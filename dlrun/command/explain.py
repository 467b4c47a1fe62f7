"""``dlrun explain``: maps of where a model looks, and measurements of whether they deserve belief."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from rich.table import Table
from torch import Tensor, nn

from dlrun import build, console
from dlrun.board import Board
from dlrun.dataset import examples
from dlrun.dataset.examples import Examples
from dlrun.errors import UserError, suggest
from dlrun.evaluation import score
from dlrun.explainer.cam import CAM
from dlrun.explainer.edges import Edges
from dlrun.explainer.explainer import Explainer
from dlrun.explainer.guided_backprop import GuidedBackprop
from dlrun.explainer.layer import find
from dlrun.explainer.random import Random
from dlrun.explanation import Explanation, UnderAttack, verdict
from dlrun.figure.attacked import attacked
from dlrun.figure.explanation import contact_sheet, overlay
from dlrun.figure.randomization import randomization
from dlrun.run import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import Trained, open_trained

LISTED = 20
"""The most rows of the table that is printed."""
CHECKED = 4
"""The images that the sanity check looks at."""
Row = dict[str, str | float]


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Explain as the config says, into the run's folder; returns what goes into ``result.json``."""
    build.check_targets(config)
    explainer = build.explainer(config)
    attack = build.attack(config) if config.get("attack") else None
    if attack and len(attack.radii) > 1:
        raise UserError(f"attack.eps={attack.radii}: expected one number for an explanation")
    files = [] if config.input is None else examples.find(config.input)[: config.limit]
    trained = open_trained(config, run, with_data=not files)
    names = trained.classes
    chosen = examples.of_files(files, config) if files else choose(config, trained)
    chosen.images = chosen.images.to(trained.device)

    if isinstance(explainer, CAM) and explainer.layer is None:
        explainer.layer = find(trained.model, chosen.images)
        console.say(f"layer: {explainer.layer}")
    explanation = Explanation(trained.model, chosen, torch.empty(0), trained.precision, config.dataset.batch_size)
    explanation.classes = explainer.classes(explanation.probabilities, names)
    method = config.explainer._target_.split(".")[-2]
    maps = explanation.maps(explainer)
    rows = table(explanation, names)
    metrics, sentences = believe(config, explanation, method, maps, rows)
    say_table(rows, f"{method}, {config.weights}")
    write_maps(run.path / "maps.npz", maps, explanation)
    write_table(run.path / "explanations.csv", rows)
    board = Board(run.path)
    draw(run.path, board, explanation, maps, rows, config.pictures)
    if attack:
        how = f"{config.attack._target_.split('.')[-2]} ({attack.norm}, eps={attack.eps:.4g})"
        found = explanation.under_attack(attack, explainer, maps)
        title = f"{method} before and after {how}"
        show_attacked(run.path, board, rows, explanation, maps, found, names, title, config.pictures)
        metrics |= found.metrics
        sentences.append(say_attacked(how, found, method))
    board.scalars(metrics, 0)
    if config.randomize:
        sentences.append(check_sanity(run.path, board, explanation, explainer, method, config.seed))
    board.close()
    for sentence in sentences:
        console.say(sentence)
    return {"metrics": metrics, "examples": len(chosen.images), "classes": names, "verdict": sentences}


def choose(config: DictConfig, trained: Trained) -> Examples:
    """The examples of a split that ``index``, ``class``, ``order`` and ``limit`` ask for.

    Raises:
        UserError: no such place or class, or no example of that kind.
    """
    loader, names = trained.data.evaluation(config.split), trained.classes
    targets, count = loader.source.targets.cpu(), len(loader.source)
    places = torch.arange(count)
    if config.index is not None:
        asked = list(config.index) if isinstance(config.index, ListConfig) else [config.index]
        beyond = [place for place in asked if place >= count]
        if beyond:
            raise UserError(f"index={beyond[0]}: no such image; expected 0 to {count - 1}")
        places = torch.tensor(asked)
    wanted = config["class"]
    if wanted is not None:
        number = wanted if isinstance(wanted, int) else names.index(wanted) if wanted in names else None
        if number is None or number >= len(names):
            raise UserError(f"class={wanted}: no such class; {suggest(str(wanted), names)}")
        places = places[targets[places] == number]
    if config.order != "first":
        scores = cast(ClassificationScores, score(trained.task, trained.model, loader, trained.precision))
        if config.order == "most_wrong":
            ranked = scores.most_wrong(count)
        else:
            ranked = scores.probabilities.amax(dim=1).argsort(stable=True)
        places = ranked[torch.isin(ranked, places)]
    places = places[: config.limit]
    if not len(places):
        raise UserError(f"order={config.order} class={wanted}: no image of that kind in the split {config.split}")
    images = loader.images(places).float().div_(255)
    regions = trained.data.regions
    return Examples(
        images,
        [str(place) for place in places.tolist()],
        list(targets[places].tolist()),
        regions[places] if config.split == "test" and regions is not None else None,
    )


def believe(
    config: DictConfig, explanation: Explanation, method: str, maps: Tensor, rows: list[Row]
) -> tuple[dict[str, float], list[str]]:
    """Measure the maps against a random map and an edge detector: metrics, and sentences that say what they mean."""
    metrics: dict[str, float] = {}
    sentences: list[str] = []
    random = explanation.maps(Random(grid=(maps.shape[2], maps.shape[3]), seed=config.seed))
    others = {"random": random, "edges": explanation.maps(Edges())}
    if config.steps:
        own = explanation.faithfulness(maps, config.steps)
        baselines = {name: explanation.faithfulness(other, config.steps) for name, other in others.items()}
        for prefix, found in (("", own), *((f"{name}_", found) for name, found in baselines.items())):
            metrics[f"{prefix}insertion"] = float(found.insertion.mean())
            metrics[f"{prefix}deletion"] = float(found.deletion.mean())
        pairs = zip(own.insertion.flatten().tolist(), own.deletion.flatten().tolist(), strict=True)
        for row, (insertion, deletion) in zip(rows, pairs, strict=True):
            row |= {"insertion": insertion, "deletion": deletion}
        sentences.append(verdict(method, own, baselines))
    if explanation.examples.regions is not None:
        pointed = explanation.pointing(maps)
        metrics |= pointed
        for name, other in others.items():
            metrics |= {f"{name}_{key}": value for key, value in explanation.pointing(other).items()}
        energies = ", ".join(f"{name} {metrics[f'{name}_energy_in_region']:.3f}" for name in others)
        sentences.append(
            f"{method} has {pointed['energy_in_region']:.3f} of its energy in the region of the class ({energies});"
            f" its highest place is inside for {pointed['pointing_accuracy']:.3f} of the maps"
        )
    return metrics, sentences


def show_attacked(
    folder: Path,
    board: Board,
    before: list[Row],
    explanation: Explanation,
    maps: Tensor,
    found: UnderAttack,
    names: list[str],
    title: str,
    most: int,
) -> None:
    """``attacked.csv``, a row for every image and class, and ``attacked.png``; also on the TensorBoard."""
    asked = maps.shape[1]
    measures = zip(found.correlations.flatten().tolist(), found.linf.repeat_interleave(asked).tolist(), strict=True)
    rows = [
        Row(
            image=row["image"],
            target=row["target"],
            explained=row["explained"],
            clean_prediction=row["prediction"],
            clean_probability=row["probability"],
            prediction=after["prediction"],
            probability=after["probability"],
            map_correlation=correlation,
            linf=f"{linf:.6f}",
        )
        for row, after, (correlation, linf) in zip(before, table(found.after, names), measures, strict=True)
    ]
    write_table(folder / "attacked.csv", rows)
    if most == 0:
        return
    captions = [
        [
            seen(row["clean_prediction"], row["clean_probability"], row["target"]),
            str(row["explained"]),
            seen(row["prediction"], row["probability"]),
            str(row["explained"]),
            f"rank corr. {row['map_correlation']:.2f}",
        ]
        for row in rows[: most * asked]
    ]
    images = [one.examples.images.repeat_interleave(asked, dim=0) for one in (explanation, found.after)]
    fooled = found.fooled.repeat_interleave(asked).tolist()[: most * asked]
    figure = attacked(images, [maps.flatten(0, 1), found.maps.flatten(0, 1)], captions, fooled, title)
    figure.savefig(folder / "attacked.png", dpi=150)
    board.figure("attacked", figure, 0)


def say_attacked(attack: str, found: UnderAttack, method: str) -> str:
    """A sentence: whom did the attack fool, and what became of the maps."""
    right = int(found.right.sum())
    if not right:
        return f"{attack} attacks nothing: the model is wrong about all {len(found.right)} images"
    return (
        f"{attack} fools {int(found.fooled.sum())} of the {right} images that were right; the rank correlation of their"
        f" {method} maps before and after is {found.metrics['attacked_map_correlation']:.3f} on average"
    )


def check_sanity(
    folder: Path, board: Board, explanation: Explanation, explainer: Explainer, method: str, seed: int
) -> str:
    """Draw the weights anew from the top down; a figure, a table, and a sentence.

    Guided backpropagation, which changes least of all, is shown beside the explainer where the model has ReLUs.
    """
    subjects: dict[str, Explainer] = {method: explainer}
    if any(isinstance(module, nn.ReLU) for module in explanation.model.modules()):
        subjects["guided_backprop"] = GuidedBackprop()
    checks = {name: explanation.randomization(subject, seed, CHECKED) for name, subject in subjects.items()}
    stages = checks[method].stages
    correlations = {name: check.correlations for name, check in checks.items()}
    figure = randomization(
        stages, correlations, explanation.examples.images[0].cpu(), {name: check.maps for name, check in checks.items()}
    )
    figure.savefig(folder / "randomization.png", dpi=120)
    board.figure("randomization", figure, 0)
    write_table(
        folder / "randomization.csv",
        [
            {"stage": stage, **{name: values[place] for name, values in correlations.items()}}
            for place, stage in enumerate(stages)
        ],
    )
    ends = ", ".join(f"{name} {values[-1]:.3f}" for name, values in correlations.items())
    return f"with all weights drawn anew, the rank correlation with the trained model's maps is: {ends}"


def table(explanation: Explanation, names: list[str]) -> list[Row]:
    """A row for every image and class."""
    examples, rows = explanation.examples, []
    for number, (name, target) in enumerate(zip(examples.names, examples.targets, strict=True)):
        own = explanation.probabilities[number]
        for explained in explanation.classes[number].tolist():
            rows.append(
                Row(
                    image=name,
                    target="" if target is None else names[target],
                    prediction=names[int(own.argmax())],
                    probability=float(own.max()),
                    explained=names[explained],
                    explained_probability=float(own[explained]),
                )
            )
    return rows


def draw(folder: Path, board: Board, explanation: Explanation, maps: Tensor, rows: list[Row], most: int) -> None:
    """An overlay for each image and class, and a sheet of all; also on the TensorBoard."""
    if most == 0:
        return
    images, maps = explanation.examples.images[:most].cpu(), maps[:most].cpu()
    asked = maps.shape[1]
    captions, subtitles = [], []
    (folder / "overlays").mkdir()
    for number, image in enumerate(images):
        own = rows[number * asked : (number + 1) * asked]
        target = own[0]["target"]
        caption = seen(own[0]["prediction"], own[0]["probability"])
        captions.append(seen(own[0]["prediction"], own[0]["probability"], target))
        subtitles.append([f"{row['explained']} ({percent(row['explained_probability'])})" for row in own])
        for row, map, subtitle in zip(own, maps[number], subtitles[-1], strict=True):
            is_said = f"     target: {target}" if target else ""
            figure = overlay(image, map, f"prediction: {caption}{is_said}", f"evidence for {subtitle}")
            name = re.sub(r"[^\w.+-]+", "-", f"{number:03d}_{row['image']}_{row['explained']}")
            figure.savefig(folder / "overlays" / f"{name}.png", dpi=150)
            board.figure("overlay", figure, number)
    sheet = contact_sheet(images, maps, captions, subtitles)
    sheet.savefig(folder / "contact_sheet.png", dpi=120)
    board.figure("contact_sheet", sheet, 0)


def seen(prediction: str | float, probability: str | float, target: str | float = "") -> str:
    """What a model sees in an image and how surely, and what it is where that is known and another."""
    caption = f"{prediction} ({percent(probability)})"
    return caption if target in ("", prediction) else f"{caption}, is {target}"


def percent(probability: str | float) -> str:
    """A probability for people, who know that no model is certain."""
    value = float(probability)
    return ">99.9%" if value >= 0.9995 else "<0.1%" if value < 0.0005 else f"{value:.1%}"


def write_maps(path: Path, maps: Tensor, explanation: Explanation) -> None:
    """The raw maps with the images and classes that they belong to."""
    np.savez_compressed(
        path,
        maps=maps.cpu().numpy(),
        classes=explanation.classes.cpu().numpy(),
        images=explanation.examples.images.cpu().numpy(),
        names=np.array(explanation.examples.names),
    )


def write_table(path: Path, rows: list[Row]) -> None:
    """The rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: plain(value) for key, value in row.items()})


def say_table(rows: list[Row], title: str) -> None:
    """Print the first rows."""
    shown = Table(*rows[0], title=title)
    for row in rows[:LISTED]:
        shown.add_row(*map(plain, row.values()))
    console.say(shown)
    if len(rows) > LISTED:
        console.say(f"and {len(rows) - LISTED:,} more rows in explanations.csv")


def plain(value: str | float) -> str:
    """A cell of a table."""
    return value if isinstance(value, str) else f"{value:.4f}"
