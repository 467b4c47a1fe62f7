"""Images that a generator makes."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.errors import UserError
from dlrun.figure.image_grid import image_grid
from dlrun.figure.image_rows import image_rows
from dlrun.model.generative import Generative, noise
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer

SAMPLES = "Images that the network makes of noise"
WALK = "From one noise to another: the images on the way"


class Samples(Visualizer):
    """Images of new noise, and the way from one noise to another (000_9560d611d10ac6dd.txt, interpolation).

    Args:
        count: images.
        seed: of the noise; another one gives other images.
        walks: rows of images on a way.
        steps: images on each, both ends included.
    """

    def __init__(self, count: int = 60, seed: int = 2, walks: int = 5, steps: int = 10) -> None:
        if count < 1 or walks < 1 or steps < 2:
            raise ValueError(f"count={count}, walks={walks}, steps={steps}: expected 1, 1 and 2 or more")
        self.count, self.seed, self.walks, self.steps = count, seed, walks, steps

    @torch.no_grad()
    def show(self, model: Normalized, subject: Subject) -> Shown:
        """Both figures.

        Raises:
            UserError: the model makes no images.
        """
        network = model.network
        if not isinstance(network, Generative):
            raise UserError("visualizer=samples: the model makes no images; expected a generator such as model=dcgan")
        device = next(network.parameters()).device
        drawn = noise(network, self.count + 2 * self.walks, self.seed).to(device)
        images = network.generate(drawn[: self.count])
        starts, ends = drawn[self.count :].chunk(2)
        rows = {
            f"way {number}": network.generate(way(start, end, self.steps))
            for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
        }
        return Shown(
            {"samples": image_grid(SAMPLES, images, [""] * len(images)), "interpolation": image_rows(WALK, rows)}
        )


def way(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Noise from one to another of one shape, (steps, ...), on the great circle between them.

    A straight line would pass near 0, where there is hardly any normal noise of many dimensions (White 2016).
    """
    share = torch.linspace(0, 1, steps, device=start.device)
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = torch.arccos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    weights = torch.stack([torch.sin((1 - share) * angle), torch.sin(share * angle)], dim=1) / torch.sin(angle)
    return torch.einsum("sk,k...->s...", weights, torch.stack([start, end]))
