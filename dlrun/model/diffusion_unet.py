"""A network that says what noise there is in an image, and makes images of noise with it."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from dlrun.model.diffusion_process import DiffusionProcess
from dlrun.model.norm import norm
from dlrun.model.size import require


class DiffusionUNet(nn.Module):
    """A U-Net whose every block hears how far the noise has come and what the image shall show (Ho et al. 2020).

    A residual block at each scale on the way down, one in the middle, and one at each scale on the way up, where the
    fine features are handed across. The time as sines and cosines, and a vector for each class, are added up and shift
    every block's features. Where nearly all is noise, the noise is nearly the image itself; so the answer is the image
    and what the last layer gives, mixed as the time says (Salimans and Ho 2022, v), and no small mistake becomes large.

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by 2 to the number of scales below the first.
        num_classes: of the dataset.
        widths: channels at each scale, from the whole image down.
        diffusion_steps: from an image to noise.
        sampling_steps: from noise to an image.

    Raises:
        ValueError: the image cannot be halved so often, or there are too few steps.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        widths: list[int],
        diffusion_steps: int = 1000,
        sampling_steps: int = 20,
    ) -> None:
        coarsest = 2 ** (len(widths) - 1)
        require("diffusion_unet", image_size, coarsest)
        if image_size % coarsest:
            raise ValueError(
                f"diffusion_unet halves an image {len(widths) - 1} times; expected dataset.image_size divisible by"
                f" {coarsest}"
            )
        super().__init__()
        self.num_classes, self.sampling_steps = num_classes, sampling_steps
        self.noise_shape: tuple[int, ...] = (channels, image_size, image_size)
        self.process = DiffusionProcess(diffusion_steps)
        self.features, told = widths[0], 4 * widths[0]
        self.time = nn.Sequential(nn.Linear(self.features, told), nn.SiLU(), nn.Linear(told, told))
        self.label = nn.Embedding(num_classes, told)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Block(inputs, outputs, told) for inputs, outputs in pairwise([widths[0], *widths]))
        self.middle = Block(widths[-1], widths[-1], told)
        self.up = nn.ModuleList(
            Block(inputs + outputs, outputs, told) for inputs, outputs in pairwise([widths[-1], *reversed(widths)])
        )
        self.head = nn.Sequential(norm("group", widths[0]), nn.SiLU(), nn.Conv2d(widths[0], channels, 3, padding=1))

    def forward(self, images: Tensor, times: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """The noise (B, C, H, W) in noisy images of that shape, whose pixels were in [-1,1].

        Args:
            images: the noisy ones.
            times: the step up to which there is noise, int64 (B,); None for the first step.
            classes: what the images show, int64 (B,); None tells nothing.
        """
        if times is None:
            times = images.new_ones(images.shape[0], dtype=torch.int64)
        told = self.time(waves(times, self.features))
        if classes is not None:
            told = told + self.label(classes)
        features, across = self.stem(images), []
        for scale, block in enumerate(self.down):
            features = block(F.avg_pool2d(features, 2) if scale else features, told)
            across.append(features)
        features = self.middle(features, told)
        for scale, (block, fine) in enumerate(zip(self.up, reversed(across), strict=True)):
            features = F.interpolate(features, scale_factor=2.0) if scale else features
            features = block(torch.cat([features, fine], dim=1), told)
        signal, spread = self.process.parts(images, times)
        found: Tensor = spread * images + signal * self.head(features)
        return found

    def generate(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """Images, float (B, C, H, W) in [0,1], of noise of that shape; classes, int64 (B,), by default in turn."""
        wanted = torch.arange(len(noise), device=noise.device) % self.num_classes if classes is None else classes

        def predict(noisy: Tensor, times: Tensor) -> Tensor:
            """The noise by which the image is left within its range, which a first guess often leaves far behind."""
            guess = self.process.clean(noisy, self(noisy, times, wanted), times).clamp(-1, 1)
            return self.process.noise_between(guess, noisy, times)

        return (self.process.sample(predict, noise, self.sampling_steps) / 2 + 0.5).clamp(0, 1)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; between them the features are shifted by what the network is told.

    Args:
        inputs: channels.
        outputs: channels.
        told: numbers of what it is told.
    """

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm("group", inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.shift = nn.Sequential(nn.SiLU(), nn.Linear(told, outputs))
        self.second = nn.Sequential(norm("group", outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """Features (B, outputs, H, W) of features (B, inputs, H, W) and what is told (B, told)."""
        inner = self.first(features) + self.shift(told)[..., None, None]
        found: Tensor = self.shortcut(features) + self.second(inner)
        return found


@fx.wrap
def waves(times: Tensor, count: int) -> Tensor:
    """Times, int64 (B,), as sines and cosines of them, float (B, count), from one of every step to slow ones."""
    slower = torch.exp(-math.log(10_000) * torch.arange(count // 2, device=times.device) / (count // 2))
    angles = times[:, None] * slower
    return torch.cat([angles.sin(), angles.cos()], dim=1)
