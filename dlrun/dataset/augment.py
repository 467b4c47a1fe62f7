"""Augmentation of a whole batch at once, on its device, every image with parameters of its own.

All parameters come from a NumPy generator on the host, so a batch is augmented alike on every device, and the
randomness of a batch is a function of the generator's seed alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


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

    def __call__(
        self, images: Tensor, targets: Tensor, num_classes: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augment images, float (B, C, H, W) in [0,1], and their targets, int64 (B,).

        Returns:
            The images and the targets; under mixup or cutmix the targets are probabilities, float (B, num_classes).
        """
        if self.crop:
            images = random_crop(images, self.crop, rng)
        if self.flip:
            images = random_flip(images, self.flip, rng)
        if self.rotate or self.translate or self.scale:
            images = random_affine(images, self.rotate, self.translate, self.scale, rng)
        if self.erase:
            images = random_erase(images, self.erase, rng)
        if self.mixup or self.cutmix:
            probabilities = F.one_hot(targets, num_classes).float()
            use_mixup = self.mixup and (not self.cutmix or rng.random() < 0.5)
            if use_mixup:
                return mixup(images, probabilities, self.mixup, rng)
            return cutmix(images, probabilities, self.cutmix, rng)
        return images, targets


def random_crop(images: Tensor, padding: int, rng: np.random.Generator) -> Tensor:
    """Pad with zeros on every side and cut an image of the old size out at a random place."""
    count, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left = rng.integers(0, 2 * padding + 1, (2, count))
    rows = torch.from_numpy(top[:, None] + np.arange(height)).to(images.device)
    columns = torch.from_numpy(left[:, None] + np.arange(width)).to(images.device)
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
    return padded.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))


def random_flip(images: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Mirror left and right, with this probability."""
    chosen = torch.from_numpy(rng.random(len(images)) < probability).to(images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


def random_affine(images: Tensor, rotate: float, translate: float, scale: float, rng: np.random.Generator) -> Tensor:
    """Rotate (degrees), shift and scale (shares of the image), each by a uniform amount up to the given one."""
    count = len(images)
    angle = np.deg2rad(rng.uniform(-rotate, rotate, count))
    size = 1 / rng.uniform(1 - scale, 1 + scale, count)  # the grid maps output to input, so it shrinks to enlarge
    shift = 2 * rng.uniform(-translate, translate, (count, 2))  # the grid runs from -1 to 1
    cosine, sine = size * np.cos(angle), size * np.sin(angle)
    matrix = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], axis=1).reshape(count, 2, 3)
    theta = torch.from_numpy(matrix).to(images.device, images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


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


def mixup(images: Tensor, probabilities: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blend every image and its target with another of the batch (Zhang et al. 2017, mixup)."""
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    share = torch.from_numpy(rng.beta(alpha, alpha, len(images))).to(images)
    return (
        torch.lerp(images[other], images, share.view(-1, 1, 1, 1)),
        torch.lerp(probabilities[other], probabilities, share.view(-1, 1)),
    )


def cutmix(images: Tensor, probabilities: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch; targets mix by area (Yun et al. 2019, CutMix)."""
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    side = np.sqrt(1 - rng.beta(alpha, alpha, len(images)))
    inside, area = _rectangles(images, side, side, rng)
    share = torch.from_numpy(area).to(images).view(-1, 1)
    return torch.where(inside, images[other], images), torch.lerp(probabilities, probabilities[other], share)


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
