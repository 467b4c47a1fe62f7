"""``dlrun certify``: a proved lower bound of the accuracy beside the attacked one."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor, nn

from dlrun import build, console, interrupt
from dlrun.attack.attack import Attack
from dlrun.attack.ball import Norm
from dlrun.certify.bounds import Bound, lower_margins
from dlrun.certify.lipschitz import constant, radius
from dlrun.certify.step import Sort, steps
from dlrun.command.attack import Attacked, measure
from dlrun.command.classifier import classifier
from dlrun.config.frozen import updated
from dlrun.dataset.batch import inputs
from dlrun.dataset.loader import Loader
from dlrun.errors import RunError, UserError
from dlrun.figure.accuracy_curve import curve
from dlrun.figure.text import NORMS
from dlrun.model.frozen import freeze
from dlrun.model.logits import class_logits
from dlrun.record.recorder import Recorder
from dlrun.run.folder import Run
from dlrun.task.classification import ClassificationScores
from dlrun.trained import open_trained

TOLERANCE = 1e-5
"""A margin counts as proved above this share of the largest logit.

Bounds are computed in double precision, where rounding is below 1e-9 of it; the network itself may run in single
precision, where its logits are off by up to about 1e-6.
"""
Proof = Callable[[Tensor, Tensor, float], Tensor]
"""Which of the images (B, C, H, W), with these classes, are certain within a radius, bool (B,)."""


@dataclass
class Certified:
    """What is proved of a split for one radius."""

    eps: float
    certain: Tensor
    """Which images no perturbation can take out of their class, bool (N,)."""
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of them."""
        return int(self.certain.sum()) / len(self.certain)


def main(config: DictConfig, run: Run) -> dict[str, Any]:
    """Certify as the config says, into the run's folder; returns what goes into ``result.json``.

    Raises:
        UserError: the network has a layer that no bound is known for, or the method does not suit network or norm.
        RunError: an attack fooled the network within a radius for which it is certified: an error in dlrun.
    """
    config = updated(config, {"attack.eps": config.eps})
    attack = build.attack(config)
    trained = open_trained(config, run)
    loader = trained.data.evaluation(config.split, config.limit)
    classifier(trained.task, "certify")
    network = freeze(copy.deepcopy(trained.model).double())
    prove, method = proof(network, config.method, attack.norm)
    console.say(f"certifying by {method}, {attack.norm}")
    proved = [certify(loader, prove, eps) for eps in attack.radii]
    clean, attacked = measure(trained, loader, attack)
    check_consistent(proved, attacked)

    rows = [
        {"eps": left.eps, "robust_accuracy": left.accuracy, "certified_accuracy": right.accuracy}
        for left, right in zip(attacked, proved, strict=True)
    ]
    accuracy = clean.metrics()["accuracy"]
    title = f"{trained.config.weights}, {config.split}, {loader.counted}, {attack.norm}, clean {accuracy:.4f}"
    table = Table("eps", "attacked accuracy (at most)", "certified accuracy (at least)", "seconds", title=title)
    for row, right in zip(rows, proved, strict=True):
        values = (f"{row[name]:.4f}" for name in ("robust_accuracy", "certified_accuracy"))
        table.add_row(f"{right.eps:.4g}", *values, f"{right.seconds:.1f}")
    console.say(table)
    with build.recorder(trained.config, run.path) as recorder:
        recorder.table("curve", rows)
        recorder.table(
            "examples", list(example_rows(clean, attacked, proved, trained.classes, loader.numbers.tolist()))
        )
        draw(recorder, rows, len(clean.targets), attack)
    return {
        "metrics": {"clean_accuracy": accuracy, **{name: rows[-1][name] for name in list(rows[-1])[1:]}},
        "curve": rows,
        "method": method,
        "examples": len(clean.targets),
    }


def proof(network: nn.Module, method: str, norm: Norm) -> tuple[Proof, str]:
    """What certifies images, and the name of its method.

    Args:
        network: in double precision and evaluation mode.
        method: auto, interval, polytope or lipschitz.
        norm: of the perturbation.

    Raises:
        UserError: see :func:`main`.
    """
    chain = steps(network)
    sorts = any(isinstance(step, Sort) for step in chain)
    if method == "auto":
        method = "lipschitz" if sorts or norm == "l2" else "polytope"
    if method == "lipschitz":
        lipschitz = constant(chain, norm)

        def by_margin(images: Tensor, targets: Tensor, eps: float) -> Tensor:
            logits = class_logits(network(images))
            return radius(logits, targets, lipschitz, norm) > eps + TOLERANCE * _largest(logits) / lipschitz

        return by_margin, method
    if sorts:
        raise UserError(f"method={method}: knows no bounds through GroupSort; expected method=lipschitz")
    if norm != "linf":
        raise UserError(f"method={method}: bounds perturbations in linf; expected attack.norm=linf or method=lipschitz")

    def certain(images: Tensor, targets: Tensor, eps: float, bound: Bound) -> Tensor:
        margins = lower_margins(network, images, targets, eps, bound)
        others = margins.scatter(1, targets.unsqueeze(1), torch.inf)
        return others.amin(dim=1) > TOLERANCE * _largest(network(images))

    def by_bounds(images: Tensor, targets: Tensor, eps: float) -> Tensor:
        right = class_logits(network(images)).argmax(dim=1) == targets
        proved = certain(images, targets, eps, "interval") & right
        if method == "polytope":
            proved |= certain(images, targets, eps, "linear") & right
            # One by one: the cost is that of the units of either sign, which are others for every image.
            for row in (right & ~proved).nonzero().flatten().tolist():
                interrupt.check()
                proved[row] = bool(certain(images[row : row + 1], targets[row : row + 1], eps, "polytope"))
        return proved

    return by_bounds, method


def _largest(logits: Tensor) -> Tensor:
    """The largest absolute logit of each image."""
    return logits.abs().amax(dim=1)


def certify(loader: Loader, prove: Proof, eps: float) -> Certified:
    """Try to prove the class of every image."""
    started, certain = time.perf_counter(), list[Tensor]()
    with torch.no_grad(), console.bar(f"certifying eps={eps:.4g}", loader.num_images) as advance:
        for batch in loader.epoch():
            certain.append(prove(inputs(batch).double(), batch["target"], eps).cpu())
            advance(len(certain[-1]))
    return Certified(eps, torch.cat(certain), round(time.perf_counter() - started, 3))


def check_consistent(proved: Sequence[Certified], attacked: Sequence[Attacked]) -> None:
    """No attack may fool the network where it is certified.

    Raises:
        RunError: one did: a bound is wrong.
    """
    for right, left in zip(proved, attacked, strict=True):
        both = (right.certain & ~left.right).nonzero().flatten().tolist()
        if both:
            raise RunError(
                f"internal error: {len(both)} images are certified at eps={right.eps:.4g}, and yet the attack fools"
                f" them, image {both[0]} first; a bound of dlrun is wrong: please report it"
            )


def example_rows(
    clean: ClassificationScores,
    attacked: Sequence[Attacked],
    proved: Sequence[Certified],
    classes: list[str],
    numbers: list[int],
) -> Iterator[dict[str, Any]]:
    """A row for every radius and example, with its number in the split, in the order of the split."""
    for left, right in zip(attacked, proved, strict=True):
        columns = zip(
            [classes[target] for target in clean.targets.tolist()],
            [classes[prediction] for prediction in clean.predictions.tolist()],
            left.right.int().tolist(),
            right.certain.int().tolist(),
            strict=True,
        )
        for index, values in zip(numbers, columns, strict=True):
            names = ("target", "clean_prediction", "resists", "certified")
            yield {"eps": right.eps, "index": index, **dict(zip(names, values, strict=True))}


def draw(recorder: Recorder, rows: Sequence[dict[str, float]], examples: int, attack: Attack) -> None:
    """Both accuracies, of so many examples, in one figure."""
    ordered = sorted(rows, key=lambda row: row["eps"])
    accuracies = {
        "attacked (upper bound)": [row["robust_accuracy"] for row in ordered],
        "certified (lower bound)": [row["certified_accuracy"] for row in ordered],
    }
    low, high = (ordered[-1][name] for name in ("certified_accuracy", "robust_accuracy"))
    bounds = f"between {low:.1%} and {high:.1%}" if low < high else f"exactly {low:.1%}"
    title = rf"Within {NORMS[attack.norm]} $\epsilon$ = {ordered[-1]['eps']:.3g}, {bounds} of the images are safe"
    recorder.figure("curve", curve(title, [row["eps"] for row in ordered], accuracies, examples, attack.norm))
    for number, row in enumerate(rows):
        recorder.scalars(row, number)
