"""``dlrun explain``: maps of where a model looks, and measurements of whether they can be trusted."""

from __future__ import annotations

from typing import Any, cast

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor, nn

from dlrun import build, console
from dlrun.command.classifier import classifier
from dlrun.config.targets import check_targets
from dlrun.dataset import examples
from dlrun.dataset.batch import inputs
from dlrun.dataset.examples import Examples
from dlrun.dataset.source import classes, part
from dlrun.errors import UserError, suggest
from dlrun.explainer.cam import CAM
from dlrun.explainer.edges import Edges
from dlrun.explainer.explainer import Explainer
from dlrun.explainer.guided_backprop import GuidedBackprop
from dlrun.explainer.layer import find
from dlrun.explainer.random import Random
from dlrun.explanation.files import Row, draw, rows_of_text, say_table, show_attacked, table, write_maps
from dlrun.explanation.maps import Explanation, Faithfulness, UnderAttack, verdict
from dlrun.figure.faithfulness import faithfulness
from dlrun.figure.sanity import randomization, randomized_maps
from dlrun.figure.text import NORMS
from dlrun.model.inference import inference
from dlrun.record.recorder import Recorder
from dlrun.run.folder import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import Trained, open_trained
from dlrun.training.evaluation import score

CHECKED = 4
"""The images that the sanity check looks at."""


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Explain as the config says, into the run's folder; returns what goes into ``result.json``."""
    examples.need_images(config)
    check_targets(config)
    explainer = build.explainer(config)
    attack = build.attack(config) if config.get("attack") else None
    if attack and len(attack.radii) > 1:
        raise UserError(f"attack.eps={attack.radii}: expected one number for an explanation")
    files = [] if config.input is None else examples.find(config.input, config)[: config.limit]
    trained = open_trained(config, run, with_data=not files)
    classifier(trained.task, "explain")
    names = trained.classes
    chosen = examples.of_files(files, trained.config) if files else choose(config, trained)
    chosen.images = chosen.images.to(trained.device)

    if isinstance(explainer, CAM) and explainer.layer is None:
        explainer.layer = find(trained.model, chosen.images)
        console.say(f"layer: {explainer.layer}")
    explanation = Explanation(
        trained.model, chosen, torch.empty(0), trained.precision, trained.config.dataset.batch_size
    )
    explanation.classes = explainer.classes(explanation.probabilities, names)
    method = run.invocation.choices["explainer"]
    maps = explanation.maps(explainer)
    rows = table(explanation, names)
    metrics, sentences, measured = believe(config, explanation, method, maps, rows)
    say_table(rows, f"{method}, {trained.config.weights}")
    write_maps(run.path / "maps.npz", maps, explanation)
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("explanations", rows_of_text(rows))
        draw(recorder, explanation, maps, rows, config.pictures, method)
        if measured:
            title = f"Does {method} show what the model uses? Random maps and edges beside it"
            pairs = {name: (found.deletion, found.insertion) for name, found in measured.items()}
            recorder.figure("faithfulness", faithfulness(title, pairs))
        if attack:
            name = run.invocation.choices["attack"]
            how = f"{name} ({attack.norm}, eps={attack.eps:.4g})"
            found = explanation.under_attack(attack, explainer, maps)
            title = rf"{method} before and after {name} ({NORMS[attack.norm]} $\epsilon$ = {attack.eps:.4g})"
            show_attacked(recorder, rows, explanation, maps, found, names, title, config.pictures)
            metrics |= found.metrics
            sentences.append(say_attacked(how, found, method))
        recorder.scalars(metrics, 0)
        if config.randomize:
            sentences.append(check_sanity(recorder, explanation, explainer, method, config.seed))
    for sentence in sentences:
        console.say(sentence)
    return {"metrics": metrics, "examples": len(chosen.images), "classes": names, "verdict": sentences}


def choose(config: DictConfig, trained: Trained) -> Examples:
    """The examples of a split that ``index``, ``class``, ``order`` and ``limit`` ask for.

    Raises:
        UserError: no such place or class, or no example of that kind.
    """
    loader, names = trained.data.evaluation(config.split), trained.classes
    targets, count = classes(loader.source).cpu(), len(loader.source)
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
    if config.order == "any" and config.index is None:
        places = places[part(targets[places], len(places), config.limit)]
    elif config.order in ("most_wrong", "least_certain"):
        task = classifier(trained.task, "explain")
        with inference(trained.model):
            scores = cast(ClassificationScores, score(task, trained.model, loader, trained.precision, trained.division))
        if config.order == "most_wrong":
            ranked = scores.most_wrong(count)
        else:
            ranked = scores.probabilities.amax(dim=1).argsort(stable=True)
        places = ranked[torch.isin(ranked, places)]
    places = places[: config.limit]
    if not len(places):
        raise UserError(f"order={config.order} class={wanted}: no image of that kind in the split {config.split}")
    regions = trained.data.regions
    return Examples(
        inputs(loader.examples(places)),
        [str(place) for place in places.tolist()],
        list(targets[places].tolist()),
        regions[places] if config.split == "test" and regions is not None else None,
    )


def believe(
    config: DictConfig, explanation: Explanation, method: str, maps: Tensor, rows: list[Row]
) -> tuple[dict[str, float], list[str], dict[str, Faithfulness]]:
    """Measure the maps against a random map and an edge detector.

    Returns:
        Metrics, sentences that say what they mean, and the measurements of each method's maps.
    """
    measured: dict[str, Faithfulness] = {}
    metrics: dict[str, float] = {}
    sentences: list[str] = []
    random = explanation.maps(Random(grid=(maps.shape[2], maps.shape[3]), seed=config.seed))
    others = {"random": random, "edges": explanation.maps(Edges())}
    if config.steps:
        own = explanation.faithfulness(maps, config.steps)
        baselines = {name: explanation.faithfulness(other, config.steps) for name, other in others.items()}
        measured = {method: own, **baselines}
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
    return metrics, sentences, measured


def say_attacked(attack: str, found: UnderAttack, method: str) -> str:
    """A sentence: whom did the attack fool, and what became of the maps."""
    right = int(found.right.sum())
    if not right:
        return f"{attack} attacks nothing: the model is wrong about all {len(found.right)} images"
    return (
        f"{attack} fools {int(found.fooled.sum())} of the {right} images that were right; the rank correlation of their"
        f" {method} maps before and after is {found.metrics['attacked_map_correlation']:.3f} on average"
    )


def check_sanity(recorder: Recorder, explanation: Explanation, explainer: Explainer, method: str, seed: int) -> str:
    """Draw the weights anew from the top down; a figure, a table, and a sentence.

    Guided backpropagation, which changes least of all, is shown beside the explainer where the model has ReLUs.
    """
    subjects: dict[str, Explainer] = {method: explainer}
    if any(isinstance(module, nn.ReLU) for module in explanation.model.modules()):
        subjects["guided_backprop"] = GuidedBackprop()
    checks = {name: explanation.randomization(subject, seed, CHECKED) for name, subject in subjects.items()}
    stages = checks[method].stages
    correlations = {name: check.correlations for name, check in checks.items()}
    maps = {name: check.maps for name, check in checks.items()}
    recorder.figure("randomization", randomization(stages, correlations))
    image = explanation.examples.images[0].cpu()
    recorder.figure("randomized_maps", randomized_maps(stages, image, maps))
    rows = [
        {"stage": stage, **{name: f"{values[place]:.4f}" for name, values in correlations.items()}}
        for place, stage in enumerate(stages)
    ]
    recorder.table("randomization", rows)
    ends = ", ".join(f"{name} {values[-1]:.3f}" for name, values in correlations.items())
    return f"with all weights drawn anew, the rank correlation with the trained model's maps is: {ends}"
