"""Adversarial training: classification of images that were attacked first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.attack.attack import Attack
from dlrun.attack.gradient_attack import GradientAttack
from dlrun.dataset.loader import Batch
from dlrun.model.logits import class_logits
from dlrun.task.classification import Classification, ClassificationScores, hard
from dlrun.task.task import Forward

if TYPE_CHECKING:
    from dlrun.training.trainer import Trainer


def plain(model: nn.Module) -> nn.Module:
    """The model that a compiled one was made of: an attack changes its mode, which would compile it again."""
    return getattr(model, "_orig_mod", model)


class AdversarialScores(ClassificationScores):
    """Scores of the clean images, and the accuracy under attack."""

    def __init__(self) -> None:
        super().__init__()
        self._robust = 0

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits of its images clean and attacked, (B, 2, K)."""
        clean, attacked = outputs.unbind(dim=1)
        super().add(batch, loss, clean)
        self._robust += int((class_logits(attacked).argmax(dim=1) == hard(batch.targets)).sum())

    def metrics(self) -> dict[str, float]:
        """Mean loss and accuracy on clean images, and the accuracy on attacked ones."""
        return {**super().metrics(), "robust_accuracy": self._robust / len(self.targets)}


class Adversarial(Classification):
    """Trains on attacked images (Madry et al. 2018), on a mix of them and clean ones, or by TRADES.

    Validation and test report the accuracy on clean and on attacked images; ``trainer.monitor`` says which of them
    chooses the best checkpoint.

    Args:
        loss: of logits and classes.
        num_classes: of the dataset.
        attack: what is done to the images; its choice and settings are the group ``attack``.
        mix: the share of the attacked images' loss in the whole; the rest is that of the clean ones.
        trades: null, or beta of TRADES (Zhang et al. 2019): the loss of the clean images, plus beta times the
            divergence of the predictions for the attacked images from those for the clean ones.
        warmup_epochs: the attack's eps grows linearly from 0 over so many epochs.

    Raises:
        ValueError: no attack or one with several radii, a mix outside [0,1], a negative number, or TRADES with an
            attack that climbs no gradient.
    """

    metric_names = ("loss", "accuracy", "robust_accuracy")

    def __init__(
        self,
        loss: nn.Module,
        num_classes: int,
        attack: Attack | None,
        mix: float = 1.0,
        trades: float | None = None,
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__(loss, num_classes)
        if attack is None:
            raise ValueError("attack=null: expected one, such as attack=fgsm or attack=pgd")
        if len(attack.radii) > 1:
            raise ValueError(f"attack.eps={attack.radii}: expected one number for training")
        if not 0 <= mix <= 1:
            raise ValueError(f"mix={mix}: expected a share, 0 to 1")
        if warmup_epochs < 0:
            raise ValueError(f"warmup_epochs={warmup_epochs}: expected 0 or more")
        if trades is not None:
            if trades < 0:
                raise ValueError(f"trades={trades}: expected 0 or more")
            if not isinstance(attack, GradientAttack) or attack.loss != "cross_entropy" or attack.target is not None:
                raise ValueError(
                    "trades takes an untargeted gradient attack with loss=cross_entropy, such as attack=pgd"
                )
        self.attack, self.mix, self.trades, self.warmup_epochs = attack, mix, trades, warmup_epochs
        self._share_of_eps = 1.0

    def training_step(self, trainer: Trainer, batches: list[Batch]) -> dict[str, Tensor]:
        """The default step, with eps as far as it has grown."""
        warmup = self.warmup_epochs * trainer.steps_per_epoch
        self._share_of_eps = min(1.0, (trainer.progress.step + 1) / warmup) if warmup else 1.0
        return super().training_step(trainer, batches)

    def forward(self, model: Callable[[Tensor], Tensor], batch: Batch) -> Forward:
        """The loss and the logits of attacked images; in evaluation those of the clean ones and both, (B, 2, K)."""
        assert isinstance(model, nn.Module)
        if not model.training:
            return self._evaluate(model, batch)
        attack = partial(self.attack.at(self.attack.eps * self._share_of_eps), plain(model))
        if self.trades is not None:
            return self._trades(model, attack, batch, self.trades)
        outputs = model(attack(batch.images, hard(batch.targets), leave=False))
        loss = self.loss(outputs, batch.targets)
        if self.mix < 1:
            loss = self.mix * loss + (1 - self.mix) * self.loss(model(batch.images), batch.targets)
        return Forward(loss, outputs)

    def _trades(self, model: nn.Module, attack: Callable[..., Tensor], batch: Batch, beta: float) -> Forward:
        clean = model(batch.images)
        # Against fixed probabilities, cross-entropy and divergence differ by a constant: one gradient serves both.
        probabilities = class_logits(clean.float()).detach().softmax(dim=1)
        outputs = model(attack(batch.images, probabilities, leave=False))
        attacked, wanted = (class_logits(logits.float()).log_softmax(dim=1) for logits in (outputs, clean))
        divergence = F.kl_div(attacked, wanted, reduction="batchmean", log_target=True)
        return Forward(self.loss(clean, batch.targets) + beta * divergence, outputs)

    def _evaluate(self, model: nn.Module, batch: Batch) -> Forward:
        device = batch.images.device
        # The same noise in every pass: validations compare, and leave the training's randomness as it was.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            images = self.attack(plain(model), batch.images, hard(batch.targets))
        clean = model(batch.images)
        return Forward(self.loss(clean, batch.targets), torch.stack([clean, model(images)], dim=1))

    def scores(self) -> AdversarialScores:
        """Empty scores."""
        return AdversarialScores()
