"""Certified training: classification against the worst case that a bound allows."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn import functional as F

from dlrun.certify.bounds import worst_logits
from dlrun.dataset.batch import Batch, inputs
from dlrun.task.classification import Classification
from dlrun.task.task import Clock, Forward, Net


class Certified(Classification):
    """Minimises a mix of the loss and of the cross-entropy of the worst logits within a ball (L-infinity).

    Wong and Kolter 2018 with the polytope, Gowal et al. 2018 with intervals; the schedules are those of the latter.
    Validation and test report the loss and accuracy of clean images; ``dlrun certify`` proves the rest.

    Args:
        loss: of logits and classes, for clean images.
        num_classes: of the dataset.
        eps: the ball's radius in units of a pixel's range.
        bound: ``interval``; ``linear`` goes back to the pixels in one pass, with intervals for the hidden layers;
            ``polytope`` takes linear bounds for these too (for small networks: its cost grows with their units).
        share: of the worst case in the loss, in the end.
        clean_epochs: so many at the beginning with clean images alone.
        warmup_epochs: eps and the share grow linearly over so many epochs after these.

    Raises:
        ValueError: a negative number, or a share outside [0,1].
    """

    in_one_piece = True

    def __init__(
        self,
        loss: nn.Module,
        num_classes: int,
        eps: float = 0.1,
        bound: Literal["interval", "linear", "polytope"] = "interval",
        share: float = 0.5,
        clean_epochs: int = 1,
        warmup_epochs: int = 5,
    ) -> None:
        super().__init__(loss, num_classes)
        if eps < 0 or clean_epochs < 0 or warmup_epochs < 0:
            raise ValueError(
                f"eps={eps}, clean_epochs={clean_epochs}, warmup_epochs={warmup_epochs}: expected 0 or more"
            )
        if not 0 <= share <= 1:
            raise ValueError(f"share={share}: expected a share, 0 to 1")
        self.eps, self.bound, self.share = eps, bound, share
        self.clean_epochs, self.warmup_epochs = clean_epochs, warmup_epochs
        self._grown = 1.0

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """The batch as it is; eps and share are those of this step."""
        epochs = clock.step / clock.steps_per_epoch - self.clean_epochs
        self._grown = min(1.0, max(0.0, epochs / self.warmup_epochs if self.warmup_epochs else float(epochs >= 0)))
        return batch

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The mixed loss, and the logits of clean images."""
        clean = self.evaluate(net, batch)
        if self._grown == 0:
            return clean
        assert isinstance(net, nn.Module)
        worst = worst_logits(net, inputs(batch), batch["target"], self.eps * self._grown, self.bound)
        share = self.share * self._grown
        return Forward((1 - share) * clean.loss + share * F.cross_entropy(worst, batch["target"]), clean.outputs)

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """The loss and the logits of clean images."""
        return super().loss(net, batch)
