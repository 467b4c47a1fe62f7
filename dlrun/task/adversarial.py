"""Adversarial training: classification of images that were attacked first."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.attack.attack import Attack
from dlrun.attack.gradient_attack import GradientAttack
from dlrun.dataset.batch import Batch, inputs
from dlrun.model.logits import class_logits
from dlrun.task.classification import Classification, ClassificationScores, hard
from dlrun.task.task import Clock, Forward, Net, plain


class AdversarialScores(ClassificationScores):
    """Scores of the clean images, and the accuracy under attack."""

    def __init__(self, task: Classification) -> None:
        super().__init__(task)
        self._robust = 0

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and logits of its images clean and attacked, (B, 2, K)."""
        clean, attacked = outputs.unbind(dim=1)
        super().add(batch, loss, clean)
        self._robust += int((class_logits(attacked).argmax(dim=1) == hard(batch["target"])).sum())

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

    in_one_piece = True
    higher_is_better = {"loss": False, "accuracy": True, "robust_accuracy": True}  # noqa: RUF012

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

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """The batch with ``attacked`` beside its images: in training with eps as far as it has grown."""
        model, images, targets = plain(net), inputs(batch), batch["target"]
        if not clock.training:
            # The same noise in every pass: validations compare, and leave the training's randomness as it was.
            with torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
                torch.manual_seed(0)
                return {**batch, "attacked": self.attack(model, images, hard(targets))}
        warmup = self.warmup_epochs * clock.steps_per_epoch
        attack = self.attack.at(self.attack.eps * min(1.0, (clock.step + 1) / warmup)) if warmup else self.attack
        if self.trades is None:
            goal = hard(targets)
        else:
            # Against fixed probabilities, cross-entropy and divergence differ by a constant: one gradient serves both.
            with torch.no_grad():
                goal = class_logits(model(images)).softmax(dim=1)
        return {**batch, "attacked": attack(model, images, goal, leave=False)}

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss and the logits of attacked images."""
        outputs = net(batch["attacked"])
        if self.trades is not None:
            clean = net(inputs(batch))
            attacked, wanted = (class_logits(logits).log_softmax(dim=1) for logits in (outputs, clean))
            divergence = F.kl_div(attacked, wanted, reduction="batchmean", log_target=True)
            return Forward(self.criterion(clean, batch["target"]) + self.trades * divergence, outputs)
        loss = self.criterion(outputs, batch["target"])
        if self.mix < 1:
            loss = self.mix * loss + (1 - self.mix) * self.criterion(net(inputs(batch)), batch["target"])
        return Forward(loss, outputs)

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """The loss of clean images, and the logits of them and of the attacked ones, (B, 2, K)."""
        clean = net(inputs(batch))
        return Forward(self.criterion(clean, batch["target"]), torch.stack([clean, net(batch["attacked"])], dim=1))

    def scores(self) -> AdversarialScores:
        """Empty scores."""
        return AdversarialScores(self)
