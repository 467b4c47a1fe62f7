"""Generative adversarial networks: a generator and a discriminator, trained against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.figure.image_grid import image_grid
from dlrun.task.frechet import frechet
from dlrun.task.task import Clock, Forward, Net, Scores, Task, plain

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

SHOWN = 60
"""Samples in the picture."""
TITLE = "What the generator makes of noise, the same noise in every picture of the run"
COARSE = 7
"""The side to which images are averaged before their distribution is compared."""


class GANScores(Scores):
    """Both players' losses, and how far the samples' coarse pixels are from those of the real images."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._coarse: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.samples: Tensor = torch.empty(0)

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: the generator's loss; outputs are samples, float (B, C, H, W) in [0,1]."""
        super().add(batch, loss, outputs)
        if not len(self.samples):
            self.samples = outputs[:SHOWN].cpu()
        for kept, images in zip(self._coarse, (batch["image"], outputs), strict=True):
            kept.append(F.adaptive_avg_pool2d(images.float(), COARSE).flatten(1).cpu())

    def metrics(self) -> dict[str, float]:
        """The losses, and the Frechet distance between the coarse pixels of samples and of real images."""
        found = super().metrics()
        real, made = (torch.cat(parts) for parts in self._coarse)
        return {
            "discriminator_loss": found["discriminator_loss"],
            "generator_loss": found["loss"],
            "pixel_distance": frechet(real, made),
        }


class GAN(Task):
    """Two players in turn (Goodfellow et al. 2014; 000_9560d611d10ac6dd.txt, réseaux antagonistes génératifs).

    The discriminator learns to tell images from samples by binary cross-entropy. The generator learns to be taken for
    real, which has a gradient where the discriminator is sure (the paper's second form).

    Args:
        loss: unused; the players have their own.
        num_classes: of the dataset; unused.
        r1: weight of the discriminator's squared gradient at real images in its loss, halved (Mescheder et al. 2018);
            0 leaves it out.

    Raises:
        ValueError: the weight is negative.
    """

    needs = ("image",)
    players = ("discriminator", "generator")
    in_one_piece = True
    monitor = "val/pixel_distance"
    higher_is_better = {"discriminator_loss": False, "generator_loss": False, "pixel_distance": False}  # noqa: RUF012

    def __init__(self, loss: nn.Module, num_classes: int, r1: float = 0.0) -> None:
        if r1 < 0:
            raise ValueError(f"r1={r1}: expected 0 or more")
        super().__init__(loss, num_classes)
        self.r1 = r1

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """The batch with ``noise``, as many numbers as the network's ``latent``: in every evaluation the same."""
        images = batch["image"]
        generator = None if clock.training else torch.Generator(images.device).manual_seed(clock.step)
        latent = int(plain(net).get_submodule("network").latent)  # type: ignore[arg-type]
        return {**batch, "noise": torch.randn(len(images), latent, device=images.device, generator=generator)}

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The player's loss, and the samples, which the discriminator's turn makes and leaves to the generator's."""
        kept = batch.pop("samples", None)
        if player == "generator":
            samples = self._generator(net)(batch["noise"]) if kept is None else kept
            logits = net(samples)
            return Forward(F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)), samples)
        batch["samples"] = samples = self._generator(net)(batch["noise"])
        images = batch["image"].detach().requires_grad_(self._punishes)
        real, made = net(images), net(samples.detach())
        losses = [
            F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, goal))
            for logits, goal in ((real, 1.0), (made, 0.0))
        ]
        if self._punishes:
            (gradient,) = torch.autograd.grad(real.sum(), images, create_graph=True)
            losses.append(self.r1 / 2 * gradient.square().flatten(1).sum(dim=1).mean())
        return Forward(sum(losses[1:], losses[0]), samples)

    @property
    def _punishes(self) -> bool:
        """Whether R1 is a part of the loss: in an evaluation nobody asks for gradients."""
        return self.r1 > 0 and torch.is_grad_enabled()

    def evaluate(self, net: Net, batch: Batch) -> Forward:
        """The generator's loss, and the samples; the discriminator's loss is a metric of the batch."""
        batch["discriminator_loss"] = self.loss(net, batch, "discriminator").loss.expand(len(batch["noise"]))
        return self.loss(net, batch, "generator")

    def batch_metrics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """In an evaluation the discriminator's loss."""
        return {"discriminator_loss": batch["discriminator_loss"].mean()} if "discriminator_loss" in batch else {}

    def scores(self) -> GANScores:
        """Empty scores."""
        return GANScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect one logit, of a discriminator."""
        if output.shape[1:] != (1,):
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(f"gives {found} outputs; task=gan expects one logit, as of dcgan")

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Samples, of the same noise as in every other picture of the run."""
        samples = cast(GANScores, scores).samples
        if most:
            recorder.figure("samples_made", image_grid(TITLE, samples, [""] * len(samples)), step)

    def _generator(self, net: Net) -> nn.Module:
        return plain(net).get_submodule("network.generator")
