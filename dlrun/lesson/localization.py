"""A digit on a large canvas: where is it, in which box, and is there one at all?"""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc
from torchvision.ops import box_iou

from dlrun.errors import UserError
from dlrun.figure.slide import COLOURS, slide
from dlrun.lesson.brief import digit_images
from dlrun.lesson.lesson import Findings, Lesson, Row
from dlrun.lesson.windows import SIDE, STRIDE, canvases, clutter, fully_convolutional, presence, trained


class Localization(Lesson):
    """The map's maximum, its box, a decision by windows or by pooling (003_7190ac02314fafbe.txt, localisation).

    Args:
        side: of the canvas in pixels.
        count: canvases with a digit, and as many without one.
        epochs: of the classifier's training.

    Raises:
        UserError: the canvas is too small; or there is no canvas, or no epoch.
    """

    def __init__(self, side: int, count: int, epochs: int) -> None:
        for name, value, least in (("side", side, 2 * SIDE), ("count", count, 1), ("epochs", epochs, 1)):
            if value < least:
                raise UserError(f"lesson.{name}={value}: expected {least} or more")
        self.side, self.count, self.epochs = side, count, epochs

    @torch.no_grad()
    def __call__(self) -> Findings:
        """Find the digit on every canvas; say of every canvas whether there is one."""
        with torch.enable_grad():
            network = fully_convolutional(trained(self.epochs))
        _, (digits, _) = digit_images(SIDE)
        images, corners = canvases(self.count, self.side, self.side, digits)
        empty = clutter(self.count, self.side, self.side, digits)
        maps, nothing = scores(network, images), scores(network, empty)
        found = brightest(maps)
        distance = (found - corners).double().norm(dim=1)
        overlap = box_iou(boxes(found), boxes(corners)).diagonal()
        metrics = {
            "distance_median": float(distance.median()),
            "found_within_a_stride": float((distance <= STRIDE).double().mean()),
            "iou_mean": float(overlap.mean()),
            "iou_above_half": float((overlap > 0.5).double().mean()),
        }
        both, truth = torch.cat([maps, nothing]), torch.arange(2 * self.count) < self.count
        decisions = {"logical or of the windows": (both > 0.5).flatten(1).any(dim=1),
                     "maximum over the map": both.amax(dim=(1, 2)) > 0.5,
                     "mean over the map": both.mean(dim=(1, 2)) > 0.5}  # fmt: skip
        metrics |= {
            "decision/or": _right(decisions["logical or of the windows"], truth),
            "decision/maximum": _right(decisions["maximum over the map"], truth),
            "decision/mean": _right(decisions["mean over the map"], truth),
            "auroc/maximum": float(binary_auroc(both.amax(dim=(1, 2)), truth.long())),
            "auroc/mean": float(binary_auroc(both.mean(dim=(1, 2)), truth.long())),
            "or_differs_from_maximum": float(
                (decisions["logical or of the windows"] != decisions["maximum over the map"]).sum()
            ),
        }
        table: list[Row] = [
            {
                "decision by": name,
                "with a digit, said so": float(said[: self.count].double().mean()),
                "without, said so": float((~said[self.count :]).double().mean()),
            }
            for name, said in decisions.items()
        ]
        return Findings(metrics, {"found": self._figure(images, maps, corners, found)}, {"decisions": table})

    def _figure(self, images: Tensor, maps: Tensor, corners: Tensor, found: Tensor) -> Figure:
        distance = (found - corners).double().norm(dim=1)
        title = f"The map's maximum finds the digit, {distance.median():.1f} pixels off in half of all canvases"
        figure, plots = slide(title, 2, 3, 5.4)
        for column in range(3):
            place = column % len(images)
            above, below = plots[column], plots[column + 3]
            above.imshow(images[place, 0], cmap="gray", vmin=0, vmax=1)
            extent = (SIDE / 2 - STRIDE / 2, STRIDE * maps.shape[2] + SIDE / 2 - STRIDE / 2,
                      STRIDE * maps.shape[1] + SIDE / 2 - STRIDE / 2, SIDE / 2 - STRIDE / 2)  # fmt: skip
            heat = below.imshow(maps[place], cmap="viridis", vmin=0, vmax=1, extent=extent, interpolation="nearest")
            for corner, colour, style in ((corners, COLOURS[5], "-"), (found, COLOURS[1], "--")):
                row, left = corner[place].tolist()
                for axes in (above, below):
                    axes.add_patch(Rectangle((left, row), SIDE, SIDE, fill=False, color=colour, ls=style, lw=2))
            above.set_title(f"{distance[place]:.1f} pixels off")
            for axes in (above, below):
                axes.set(xlim=(0, self.side), ylim=(self.side, 0), xticks=[], yticks=[])
        plots[3].set_xlabel("light blue: truth")
        plots[4].set_xlabel("orange: found")
        figure.colorbar(heat, ax=plots[3:], label="probability of a digit")
        return figure


def scores(network: nn.Module, images: Tensor) -> Tensor:
    """The probability of a digit in each window, (N, rows, columns)."""
    return torch.cat([presence(network(part)) for part in torch.split(images, 20)])


def brightest(maps: Tensor) -> Tensor:
    """The upper left corner (N, 2), in pixels, of the window with the largest value of each map."""
    place = maps.flatten(1).argmax(dim=1)
    return torch.stack([place // maps.shape[2], place % maps.shape[2]], dim=1) * STRIDE


def boxes(corners: Tensor) -> Tensor:
    """The boxes (N, 4) of left, upper, right and lower border, of a digit's size, at these corners (N, 2)."""
    start = corners.flip(1).double()
    return torch.cat([start, start + SIDE], dim=1)


def _right(said: Tensor, truth: Tensor) -> float:
    return float((said == truth).double().mean())
