"""Augmentation of a whole batch at once, on its device, every image with parameters of its own.

All parameters come from a NumPy generator on the host, so a batch is augmented alike on every device, and the
randomness of a batch is a function of the generator's seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dlrun.dataset.batch import Batch, inputs, size
from dlrun.dataset.field import Field, Warp
from dlrun.errors import UserError


class Augment:
    """The augmentations that are switched on, in a fixed order; the arguments are those of ``dataset.augment``.

    Args:
        crop: largest shift in pixels, the border filled with zeros.
        flip: probability of a horizontal flip.
        rotate: largest angle in degrees.
        translate: largest shift as a share of the image.
        scale: largest change of size, as a share.
        erase: probability that a rectangle is set to zero.
        mixup: alpha of Beta(alpha, alpha), from which each image's share is drawn; 0 is off.
        cutmix: the same for the area of a pasted rectangle. With both on, half the batches get each.
    """

    def __init__(
        self,
        crop: int = 0,
        flip: float = 0.0,
        rotate: float = 0.0,
        translate: float = 0.0,
        scale: float = 0.0,
        erase: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        self.crop, self.flip, self.erase = crop, flip, erase
        self.rotate, self.translate, self.scale = rotate, translate, scale
        self.mixup, self.cutmix = mixup, cutmix

    @property
    def on(self) -> dict[str, float]:
        """The options that are switched on."""
        return {name: value for name, value in vars(self).items() if value}

    def check(self, fields: Mapping[str, Field], num_classes: int | None) -> None:
        """Refuse what makes no sense for a dataset.

        Args:
            fields: what its named tensors are.
            num_classes: how many classes the targets are of; None where they are none.

        Raises:
            UserError: images are to be changed and there are none, or what mixing would mix has no mean.
        """
        for name, value in self.on.items():
            key = f"dataset.augment.{name}={value}"
            if name != "mixup" and not any(field.is_picture for field in fields.values()):
                raise UserError(f"{key}: changes images, and the data has none ({', '.join(fields)}); expected 0")
            if name not in ("mixup", "cutmix"):
                continue
            if "target" not in fields or num_classes is None:
                raise UserError(f"{key}: mixes classes, and the data has none; expected 0")
            for other, field in fields.items():
                if other != "target" and not (field.mixes if name == "mixup" else field.is_picture):
                    raise UserError(f"{key}: cannot mix the data's {other}; expected 0")

    def __call__(self, batch: Batch, fields: Mapping[str, Field], num_classes: int, rng: np.random.Generator) -> Batch:
        """Augment a batch as the network reads it; images and their masks move together.

        Returns:
            The batch; under mixup or cutmix its targets are probabilities, float (B, num_classes).
        """
        count, warps = size(batch), list[Warp]()
        if self.crop:
            warps.append(random_crop(count, self.crop, rng))
        if self.flip:
            warps.append(random_flip(count, self.flip, rng))
        if self.rotate or self.translate or self.scale:
            warps.append(random_affine(count, self.rotate, self.translate, self.scale, rng))
        for warp in warps:
            batch = {name: fields[name].warp(values, warp) for name, values in batch.items()}
        if self.erase:
            batch = {
                name: random_erase(values, self.erase, rng) if fields[name].is_picture else values
                for name, values in batch.items()
            }
        if self.mixup or self.cutmix:
            mixed = {**batch, "target": F.one_hot(batch["target"], num_classes).float()}
            use_mixup = self.mixup and (not self.cutmix or rng.random() < 0.5)
            return mixup(mixed, self.mixup, rng) if use_mixup else cutmix(mixed, self.cutmix, rng)
        return batch


def random_crop(count: int, padding: int, rng: np.random.Generator) -> Warp:
    """Pad with zeros on every side and cut an image of the old size out at a random place."""
    top, left = rng.integers(0, 2 * padding + 1, (2, count))

    def warp(values: Tensor, mode: str = "bilinear") -> Tensor:
        _, channels, height, width = values.shape
        padded = F.pad(values, (padding,) * 4)
        rows = torch.from_numpy(top[:, None] + np.arange(height)).to(values.device)
        columns = torch.from_numpy(left[:, None] + np.arange(width)).to(values.device)
        padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
        return padded.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))

    return warp


def random_flip(count: int, probability: float, rng: np.random.Generator) -> Warp:
    """Mirror left and right, with this probability."""
    chosen = torch.from_numpy(rng.random(count) < probability).view(-1, 1, 1, 1)

    def warp(values: Tensor, mode: str = "bilinear") -> Tensor:
        return torch.where(chosen.to(values.device), values.flip(-1), values)

    return warp


def random_affine(count: int, rotate: float, translate: float, scale: float, rng: np.random.Generator) -> Warp:
    """Rotate (degrees), shift and scale (shares of the image), each by a uniform amount up to the given one."""
    angle = np.deg2rad(rng.uniform(-rotate, rotate, count))
    zoom = 1 / rng.uniform(1 - scale, 1 + scale, count)  # the grid maps output to input, so it shrinks to enlarge
    shift = 2 * rng.uniform(-translate, translate, (count, 2))  # the grid runs from -1 to 1
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], axis=1).reshape(count, 2, 3)

    def warp(values: Tensor, mode: str = "bilinear") -> Tensor:
        theta = torch.from_numpy(matrix).to(values.device, values.dtype)
        grid = F.affine_grid(theta, list(values.shape), align_corners=False)
        return F.grid_sample(values, grid, mode=mode, align_corners=False)

    return warp


def random_erase(images: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Set a rectangle of 2% to 33% of the area, sides in a ratio of 0.3 to 3.3, to zero (Zhong et al. 2017)."""
    count = len(images)
    area = rng.uniform(0.02, 0.33, count) * (rng.random(count) < probability)
    ratio = np.exp(rng.uniform(np.log(0.3), np.log(3.3), count))
    spans = []
    for extent, share in ((images.shape[2], np.sqrt(area * ratio)), (images.shape[3], np.sqrt(area / ratio))):
        side = np.minimum(np.rint(share * extent), extent)
        low = np.floor(rng.random(count) * (extent - side + 1))
        place = np.arange(extent)
        spans.append((place >= low[:, None]) & (place < (low + side)[:, None]))
    inside = spans[0][:, None, :, None] & spans[1][:, None, None, :]
    return images.masked_fill(torch.from_numpy(inside).to(images.device), 0.0)


def mixup(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Blend every example and its probabilities with another of the batch (Zhang et al. 2017, mixup)."""
    count, device = size(batch), inputs(batch).device
    other = torch.from_numpy(rng.permutation(count)).to(device)
    share = torch.from_numpy(rng.beta(alpha, alpha, count)).to(device, torch.float32)
    return {
        name: torch.lerp(values[other], values, share.view(-1, *[1] * (values.ndim - 1)))
        for name, values in batch.items()
    }


def cutmix(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Paste a rectangle of another image of the batch; targets mix by area (Yun et al. 2019, CutMix)."""
    images = inputs(batch)
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    side = np.sqrt(1 - rng.beta(alpha, alpha, len(images)))
    inside, area = _rectangles(images, side, side, rng)
    share = torch.from_numpy(area).to(images).view(-1, 1)
    return {
        name: torch.lerp(values, values[other], share)
        if name == "target"
        else torch.where(inside, values[other], values)
        for name, values in batch.items()
    }


def _rectangles(
    images: Tensor, tall: np.ndarray, wide: np.ndarray, rng: np.random.Generator
) -> tuple[Tensor, np.ndarray]:
    """Rectangles of these sides (shares of the image) around random centres, cut off at the border.

    Returns:
        A mask, bool (B, 1, H, W), and each rectangle's share of the area.
    """
    _, _, height, width = images.shape
    spans = []
    for extent, share in ((height, tall), (width, wide)):
        centre = rng.integers(0, extent, len(images))
        half = np.rint(share * extent / 2).astype(int)
        low, high = np.clip(centre - half, 0, extent), np.clip(centre + half, 0, extent)
        place = np.arange(extent)
        spans.append((place >= low[:, None]) & (place < high[:, None]))
    mask = spans[0][:, :, None] & spans[1][:, None, :]
    return torch.from_numpy(mask[:, None]).to(images.device), mask.mean(axis=(1, 2))
