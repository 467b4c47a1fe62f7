"""The two ways of a diffusion: from an image to noise in closed form, and from noise to an image in few steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, fx, nn

FIRST, LAST = 1e-4, 0.02
"""The variance that the first and the last of 1000 steps add (Ho et al. 2020); fewer steps add more each."""


class DiffusionProcess(nn.Module):
    """Noise is added to an image in many steps, until nothing else is left (Ho et al. 2020, DDPM).

    Step t of T takes ``x(t) = sqrt(1 - b(t)) x(t-1) + sqrt(b(t)) e`` with new normal noise e, and b(t) on a straight
    line. All steps up to t at once are ``x(t) = sqrt(a(t)) x(0) + sqrt(1 - a(t)) e``, where a(t), ``alpha_bar``, is the
    product of all ``1 - b`` up to t.

    Args:
        steps: T.

    Raises:
        ValueError: so few steps that one would take all of the image.
    """

    alpha_bar: Tensor
    """float (T + 1,), from 1 for the image itself."""

    def __init__(self, steps: int = 1000) -> None:
        if steps < 1000 * LAST + 1:
            raise ValueError(f"diffusion_steps={steps}: expected {int(1000 * LAST) + 1} or more")
        super().__init__()
        self.steps = steps
        added = torch.linspace(FIRST, LAST, steps, dtype=torch.float64) * 1000 / steps
        left = torch.cat([added.new_ones(1), (1 - added).cumprod(0)])
        self.register_buffer("alpha_bar", left.float(), persistent=False)

    def noisy(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Images (B, ...) with the noise of all steps up to theirs, int64 (B,) from 0 to T."""
        signal, spread = self.parts(images, times)
        return signal * images + spread * noise

    def clean(self, noisy: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The images that :meth:`noisy` was given, of what it gave, the noise, and the times, from 1."""
        signal, spread = self.parts(noisy, times)
        return (noisy - spread * noise) / signal

    def noise_between(self, images: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """The noise by which :meth:`noisy` leads from images (B, ...) to noisy ones, at times from 1."""
        signal, spread = self.parts(noisy, times)
        return (noisy - signal * images) / spread

    def sample(self, predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, count: int) -> Tensor:
        """Images of noise, the same ones of the same noise (Song et al. 2021, DDIM).

        Each step takes the predicted noise out of the image, which leaves a guess at the clean one, and puts as much
        of it back as belongs to the next time.

        Args:
            predict: the noise (B, ...) in images (B, ...) at their times, int64 (B,).
            noise: (B, ...), normal with deviation 1.
            count: steps, of which the times are evenly spread from T down to 1; as many as T is large at most.
        """
        images = noise
        way = torch.linspace(self.steps, 1, min(count, self.steps), device="cpu").round().long().tolist()
        for time, following in pairwise([*way, 0]):
            now, then = (torch.full((len(images),), step, device=images.device) for step in (time, following))
            found = predict(images, now)
            images = self.noisy(self.clean(images, found, now), found, then)
        return images

    def parts(self, images: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """How much of a noisy image is the image, and how much noise, (B, 1, ...) each."""
        left = at(self.alpha_bar, times, images)
        return left.sqrt(), (1 - left).sqrt()


@fx.wrap
def at(values: Tensor, times: Tensor, images: Tensor) -> Tensor:
    """The values (T + 1,) at the times of images (B, ...), as (B, 1, ...); one node to a tracer."""
    return values[times].view(-1, *[1] * (images.ndim - 1))


class Denoiser(Protocol):
    """A network that predicts noise."""

    process: DiffusionProcess
    """How the noise came there."""

    def __call__(self, images: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """The noise in images (B, C, H, W) at their times, int64 (B,), which show these classes, int64 (B,)."""
