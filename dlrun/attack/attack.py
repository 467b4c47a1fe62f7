"""The base of all attacks."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from dlrun.attack.ball import Ball, Norm, ball
from dlrun.attack.victim import Victim
from dlrun.errors import UserError
from dlrun.model.frozen import frozen
from dlrun.model.inference import input_gradients


class Attack(ABC):
    """Looks within a ball around each image for one that the model gets wrong.

    Args:
        eps: the ball's radius in units of a pixel's range, 0 or more; pixels are in [0,1]. Of several, for a curve, the
            last one holds until :meth:`at` chooses another.
        norm: ``linf`` (no pixel changes by more than eps) or ``l2`` (the Euclidean length of the change).
        target: the class that the model shall see; None for any wrong one.

    Raises:
        ValueError: eps or the target is negative, or eps is no number.
    """

    def __init__(self, eps: float | list[float], norm: Norm = "linf", target: int | None = None) -> None:
        self.radii = eps if isinstance(eps, list) else [eps]
        if not self.radii or not all(0 <= radius < math.inf for radius in self.radii):
            raise ValueError(f"eps={eps}: expected 0 or more")
        if target is not None and target < 0:
            raise ValueError(f"target={target}: expected a class, 0 or more")
        self.eps, self.norm, self.target = self.radii[-1], norm, target
        self.queries = 0
        """Images that models have seen in this attack's calls so far."""
        self._victim: Victim | None = None  # of the call in progress

    def at(self, eps: float) -> Self:
        """The same attack with another radius; a step size left to the attack follows it."""
        other = copy.copy(self)
        other.eps, other.queries, other._victim = eps, 0, None
        return other

    @property
    def looks_so_far(self) -> int:
        """The same as :attr:`queries`, with those of the call in progress."""
        victim = self._victim
        return self.queries + (victim.queries if victim else 0)

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, leave: bool = True) -> Tensor:
        """Attack a batch. The model is as before afterwards, and so are the images.

        Args:
            model: takes images in [0,1], gives logits (B, K), or (B, 1) for class 1 against 0.
            images: float (B, C, H, W) in [0,1], or any other inputs (B, ...) in [0,1], such as points (B, D).
            targets: the images' classes, int64 (B,); where ``leave`` is False also probabilities (B, K).
            leave: images leave the batch as soon as the model is wrong about them, and those that it is wrong about
                from the beginning stay as they are. False goes on to the end with all of them, for training.

        Returns:
            The attacked images, in their shape and in [0,1]; those that resisted are as the last step left them.

        Raises:
            UserError: the attack needs a gradient and the model has none, its target is no class of the model, or
                images are not in [0,1].
        """
        with frozen(model), torch.no_grad(), input_gradients(model):
            # Where scoring is in inference mode, its tensors cannot take part in a gradient.
            images, targets = (tensor.clone() if tensor.is_inference() else tensor for tensor in (images, targets))
            if not bool(((images >= 0) & (images <= 1)).all()):  # NaN is neither
                raise UserError("dataset: an attack takes values in [0,1]; found NaN or values outside")
            self._victim = victim = Victim(model)
            if not leave:
                attacked = self.search(victim, images, targets, leave)
            else:
                logits = victim.logits(images)
                if self.target is not None and self.target >= logits.shape[1]:
                    raise UserError(f"attack.target={self.target}: expected a class, 0 to {logits.shape[1] - 1}")
                stands = logits.argmax(dim=1) == targets
                if self.target is not None:
                    stands &= targets != self.target
                rows = stands.nonzero().flatten()
                attacked = images.clone()
                if len(rows) and self.eps > 0:
                    attacked[rows] = self.search(victim, images[rows], targets[rows], leave)
            self.queries, self._victim = self.queries + victim.queries, None
            return attacked

    @abstractmethod
    def search(self, victim: Victim, images: Tensor, targets: Tensor, leave: bool) -> Tensor:
        """Attack images that the model gets right, or any where ``leave`` is False; see :meth:`__call__`."""

    def ball(self, images: Tensor) -> Ball:
        """The balls to stay in."""
        return ball(self.norm, images, self.eps)

    def fooled(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Which images have got what the attack is after, bool (B,)."""
        predictions = logits.argmax(dim=1)
        return predictions != targets if self.target is None else predictions == self.target
