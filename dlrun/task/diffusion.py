"""Diffusion: a network learns to say what noise there is in an image, and so to make images of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch
from dlrun.dataset.loader import Loader
from dlrun.errors import UserError
from dlrun.figure.denoised import denoised
from dlrun.model.diffusion_process import Denoiser, DiffusionProcess
from dlrun.task.task import Clock, Forward, Net, Scores, Task, plain

if TYPE_CHECKING:
    from dlrun.record.recorder import Recorder

Kept = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images, noisy ones, guesses, float (N, C, H, W) in [0,1] each, and the steps of noise, int64 (N,)."""


class DiffusionScores(Scores):
    """The mean loss of a split, and what became of its first batch."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.first: Kept | None = None

    def add(self, batch: Batch, loss: Tensor, outputs: Tensor) -> None:
        """Take in a batch: its mean loss, and guesses at its images, float (B, C, H, W) in [0,1]."""
        super().add(batch, loss, outputs)
        if self.first is None:
            noisy = to_pixels(batch["noisy"])
            image, noisy, guess = (each.float().cpu() for each in (batch["image"], noisy, outputs))
            self.first = image, noisy, guess, batch["times"].cpu()


class Diffusion(Task):
    """The network is shown images with noise and predicts the noise (Ho et al. 2020, algorithm 1).

    It is told how many steps of noise there are, and the class of the image, so that it can be asked for a class later.
    Pixels are taken to [-1,1], whose mean and size suit the noise; ``dataset.normalize`` changes nothing.

    Args:
        loss: of the noise that is predicted and the noise itself, float (B, C, H, W): ``mse``.
        num_classes: of the dataset.
    """

    needs = ("image", "target")
    monitor = "val/loss"

    def prepare(self, net: Net, batch: Batch, clock: Clock) -> Batch:
        """The batch with ``times``, ``noise``, and ``noisy`` images of them: in every evaluation the same.

        Raises:
            UserError: augmentation mixes classes.
        """
        if batch["target"].is_floating_point():
            raise UserError(
                "task=diffusion: takes one class for each image; expected dataset.augment.mixup=0, cutmix=0"
            )
        images, process = batch["image"], denoiser(net).process
        generator = None if clock.training else torch.Generator(images.device).manual_seed(clock.step)
        times = torch.randint(1, process.steps + 1, (len(images),), device=images.device, generator=generator)
        noise = torch.randn(images.shape, device=images.device, generator=generator)
        return {**batch, "times": times, "noise": noise, "noisy": process.noisy(2 * images - 1, noise, times)}

    def loss(self, net: Net, batch: Batch, player: str = "") -> Forward:
        """The loss, and what the network takes the images for, float (B, C, H, W) in [0,1]."""
        network, (noisy, times) = denoiser(net), (batch["noisy"], batch["times"])
        found = network(noisy, times, batch["target"])
        guess = network.process.clean(noisy, found.detach(), times)
        return Forward(self.criterion(found, batch["noise"]), to_pixels(guess))

    def scores(self) -> DiffusionScores:
        """Empty scores."""
        return DiffusionScores(self)

    def check_output(self, output: Tensor) -> None:
        """Expect an image."""
        if output.ndim != 4:
            found = "x".join(map(str, output.shape[1:]))
            raise ValueError(
                f"gives {found} outputs; task=diffusion expects the noise in an image, as of diffusion_unet"
            )

    def show(
        self, scores: Scores, recorder: Recorder, loader: Loader, classes: list[str], step: int, most: int
    ) -> None:
        """Images with more and more noise, and what the network makes of them."""
        first = cast(DiffusionScores, scores).first
        if most and first is not None:
            recorder.figure("denoised", denoised(*first), step)


def denoiser(net: Net) -> Denoiser:
    """The network behind its normalisation, which noise has no use for.

    Raises:
        UserError: it is none that can be told a time and a class.
    """
    network = plain(net).get_submodule("network")
    if not isinstance(getattr(network, "process", None), DiffusionProcess):
        name = type(network).__name__
        raise UserError(f"model={name}: task=diffusion needs a network of noisy images; expected model=diffusion_unet")
    return cast(Denoiser, network)


def to_pixels(values: Tensor) -> Tensor:
    """Values from -1 to 1 as pixels in [0,1]; others are cut off."""
    return (values / 2 + 0.5).clamp(0, 1)
