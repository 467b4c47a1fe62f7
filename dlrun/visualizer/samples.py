"""Images that a generator makes."""

from __future__ import annotations

import torch
from torch import Tensor

from dlrun.errors import UserError
from dlrun.figure.image_grid import image_grid
from dlrun.figure.image_rows import image_rows
from dlrun.model.generative import Conditional, Generative, noise
from dlrun.model.normalized import Normalized
from dlrun.visualizer.visualizer import Shown, Subject, Visualizer

SAMPLES = "Images that the network makes of noise"
BY_CLASS = "Images that the network makes of noise, asked for one class in each row"
WALK = "From one noise to another: the images on the way"
COUNT, OF_EACH = 60, 16
"""Images where nobody says how many: in all, and of each class."""


class Samples(Visualizer):
    """Images of new noise, and the way from one noise to another (000_9560d611d10ac6dd.txt, interpolation).

    A network that can be asked for a class makes a row of each, and keeps to one on each way.

    Args:
        count: images, at least; None for 60, or of each class 16.
        seed: of the noise; another one gives other images.
        walks: rows of images on a way.
        steps: images on each, both ends included.
    """

    def __init__(self, count: int | None = None, seed: int = 2, walks: int = 5, steps: int = 10) -> None:
        if (count is not None and count < 1) or walks < 1 or steps < 2:
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
            raise UserError(
                "visualizer=samples: the model makes no images; expected a generator such as model=dcgan or"
                " model=diffusion_unet"
            )
        classes = subject.classes if isinstance(model.network, Conditional) else []
        count = self.count or OF_EACH * len(classes) or COUNT
        count += -count % (len(classes) or 1)  # as many of each
        device = next(network.parameters()).device
        drawn = noise(network, count + 2 * self.walks, self.seed).to(device)
        images = network.generate(drawn[:count])
        rows = {name: images[number :: len(classes)] for number, name in enumerate(classes)}
        ways = zip(*drawn[count:].chunk(2), strict=True)
        walks = [self._walk(network, number, start, end, classes) for number, (start, end) in enumerate(ways)]
        grid = image_rows(BY_CLASS, rows) if rows else image_grid(SAMPLES, images, [""] * len(images))
        return Shown({"samples": grid, "interpolation": image_rows(WALK, dict(walks))})

    def _walk(
        self, network: Generative, number: int, start: Tensor, end: Tensor, classes: list[str]
    ) -> tuple[str, Tensor]:
        """The name of a way and the images on it, all of one class where there are any."""
        between = way(start, end, self.steps)
        if not isinstance(network, Conditional):
            return f"way {number + 1}", network.generate(between)
        wanted = number % len(classes)
        images = network.generate(between, torch.full((len(between),), wanted, device=between.device))
        return f"way {number + 1}: {classes[wanted]}", images


def way(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Noise from one to another of one shape, (steps, ...), on the great circle between them.

    A straight line would pass near 0, where there is hardly any normal noise of many dimensions (White 2016).
    """
    share = torch.linspace(0, 1, steps, device=start.device)
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = torch.arccos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    weights = torch.stack([torch.sin((1 - share) * angle), torch.sin(share * angle)], dim=1) / torch.sin(angle)
    return torch.einsum("sk,k...->s...", weights, torch.stack([start, end]))
