"""Maps of some examples by several explainers, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from dlrun import console, interrupt
from dlrun.attack.attack import Attack
from dlrun.attack.ball import largest
from dlrun.compute.precision import Precision
from dlrun.dataset.examples import Examples
from dlrun.explainer.explainer import Explainer
from dlrun.explanation import faithfulness
from dlrun.explanation.sanity import cascade, rank_correlation
from dlrun.model.inference import inference
from dlrun.model.logits import class_logits


@dataclass
class Faithfulness:
    """Deletion and insertion of every map, float (N, T) in [0,1]: the area under the probability's curve."""

    deletion: Tensor
    insertion: Tensor

    @property
    def score(self) -> Tensor:
        """Insertion less deletion: the higher, the better does the map show what the model uses."""
        return self.insertion - self.deletion


@dataclass
class Randomization:
    """The sanity check: the maps of a model that loses its weights from the top down.

    Args:
        stages: the layers in this order.
        correlations: the mean rank correlation with the trained model's maps at each stage.
        maps: of the first image and class, the trained model's (h, w), and that of each stage.
    """

    stages: list[str]
    correlations: list[float]
    maps: list[Tensor]


@dataclass
class Explanation:
    """A model, and the examples and classes to explain it on.

    Args:
        model: in evaluation mode.
        examples: N images on the model's device.
        classes: int64 (N, T).
        precision: of the computation.
        batch_size: images at a time.
    """

    model: nn.Module
    examples: Examples
    classes: Tensor
    precision: Precision
    batch_size: int

    def maps(self, explainer: Explainer, model: nn.Module | None = None, most: int | None = None) -> Tensor:
        """The maps of an explainer, float (N, T, h, w); of another model, or of the first images only."""
        made = []
        batches = zip(
            torch.split(self.examples.images[:most], self.batch_size),
            torch.split(self.classes[:most], self.batch_size),
            strict=True,
        )
        total = -(-len(self.classes[:most]) // self.batch_size)
        for images, classes in console.track(batches, f"maps by {type(explainer).__name__}", total):
            interrupt.check()
            with self.precision.autocast():
                made.append(explainer.maps(self.model if model is None else model, images, classes))
        return torch.cat(made)

    @cached_property
    def probabilities(self) -> Tensor:
        """The probability of every class for every image, float (N, K)."""
        return probabilities(self.model, self.examples.images, self.batch_size, self.precision)

    def under_attack(self, attack: Attack, explainer: Explainer, maps: Tensor) -> UnderAttack:
        """Attack the images, and explain the same classes on what comes out.

        An attack is against an image's class, or against what the model sees in it where none is known; an image that
        the model gets wrong stays as it is.

        Args:
            attack: with one radius.
            explainer: what made the maps.
            maps: of the images as they are, float (N, T, h, w).
        """
        seen = self.probabilities.argmax(dim=1)
        known = [own if target is None else target for target, own in zip(self.examples.targets, seen, strict=True)]
        labels = torch.tensor(known, device=seen.device)
        made = []
        for images, part in zip(
            torch.split(self.examples.images, self.batch_size), torch.split(labels, self.batch_size), strict=True
        ):
            interrupt.check()
            with self.precision.autocast():
                made.append(attack(self.model, images, part))
        images = torch.cat(made)
        after = replace(self, examples=replace(self.examples, images=images))
        maps_after = after.maps(explainer)
        return UnderAttack(
            after=after,
            maps=maps_after,
            correlations=rank_correlation(maps, maps_after),
            linf=largest(images - self.examples.images).cpu(),
            right=(seen == labels).cpu(),
            still_right=(after.probabilities.argmax(dim=1) == labels).cpu(),
        )

    def faithfulness(self, maps: Tensor, steps: int) -> Faithfulness:
        """Deletion and insertion of maps (N, T, h, w), in so many steps."""
        measured = []
        size = max(1, self.batch_size // (2 * self.classes.shape[1]))
        batches = zip(
            torch.split(self.examples.images, size),
            torch.split(self.classes, size),
            torch.split(maps, size),
            strict=True,
        )
        for images, classes, part in console.track(batches, "insertion and deletion", -(-len(maps) // size)):
            interrupt.check()
            with self.precision.autocast():
                measured.append(faithfulness.deletion_and_insertion(self.model, images, classes, part, steps))
        deletion, insertion = zip(*measured, strict=True)
        return Faithfulness(torch.cat(deletion), torch.cat(insertion))

    def pointing(self, maps: Tensor) -> dict[str, float]:
        """Energy and highest place of maps (N, T, h, w) in the regions of their classes, where these have one."""
        assert self.examples.regions is not None
        places = self.classes.cpu()[..., None, None].expand(-1, -1, *self.examples.regions.shape[2:])
        regions = self.examples.regions.gather(1, places).to(maps.device)
        there = regions.flatten(2).any(dim=2)
        return {
            "energy_in_region": float(faithfulness.share_inside(maps, regions)[there].mean()),
            "pointing_accuracy": float(faithfulness.points_inside(maps, regions)[there].float().mean()),
        }

    def randomization(self, explainer: Explainer, seed: int, most: int) -> Randomization:
        """The sanity check of an explainer on the first images."""
        trained = self.maps(explainer, most=most)
        found = Randomization([], [], [trained[0, 0]])
        for name, model in console.track(cascade(self.model, seed), "weights drawn anew"):
            maps = self.maps(explainer, model, most)
            found.stages.append(name)
            found.correlations.append(float(rank_correlation(trained, maps).mean()))
            found.maps.append(maps[0, 0])
        return found


@dataclass
class UnderAttack:
    """Explanations of attacked images, beside those of the images as they were.

    Args:
        after: the attacked images, with the same classes to explain.
        maps: of them, float (N, T, h, w).
        correlations: the rank correlation of each map with that before the attack, (N, T).
        linf: the largest change of a pixel, (N,).
        right: which images the model got right before the attack, bool (N,).
        still_right: and after it.
    """

    after: Explanation
    maps: Tensor
    correlations: Tensor
    linf: Tensor
    right: Tensor
    still_right: Tensor

    @property
    def fooled(self) -> Tensor:
        """Which images the model got right before the attack alone, bool (N,)."""
        return self.right & ~self.still_right

    @property
    def metrics(self) -> dict[str, float]:
        """Of the images that were right, the share that is not so any more, and the mean correlation of their maps."""
        if not self.right.any():
            return {}
        return {
            "fooled": int(self.fooled.sum()) / int(self.right.sum()),
            "attacked_map_correlation": float(self.correlations[self.right].mean()),
        }


def probabilities(model: nn.Module, images: Tensor, batch_size: int, precision: Precision) -> Tensor:
    """The probability of every class for images (N, C, H, W): float (N, K)."""
    with torch.no_grad(), precision.autocast(), inference(model):
        logits = [class_logits(model(part).float()) for part in torch.split(images, batch_size)]
    return torch.cat(logits).softmax(dim=1)


def verdict(name: str, own: Faithfulness, baselines: dict[str, Faithfulness]) -> str:
    """A sentence: does the explainer beat the baselines, and by how much."""
    parts = []
    for baseline, other in baselines.items():
        margins = (own.score - other.score).flatten()
        margin, error = float(margins.mean()), float(margins.std(correction=0) / max(1, len(margins) - 1) ** 0.5)
        level = abs(margin) <= 2 * error
        verb = "is level with" if level else "beats" if margin > 0 else "loses to"
        parts.append(f"{verb} {baseline} ({margin:+.3f}, standard error {error:.3f})")
    return (
        f"{name} {' and '.join(parts)} in insertion less deletion: its insertion is {float(own.insertion.mean()):.3f},"
        f" its deletion {float(own.deletion.mean()):.3f}, over {own.deletion.numel()} maps"
    )
