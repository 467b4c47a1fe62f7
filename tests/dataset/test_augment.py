from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from dlrun.dataset import augment
from dlrun.dataset.augment import Augment, random_affine, random_crop, random_erase, random_flip
from dlrun.dataset.field import images as fields

EACH: list[dict[str, Any]] = [
    {"crop": 4},
    {"flip": 0.5},
    {"rotate": 30.0},
    {"translate": 0.2},
    {"scale": 0.3},
    {"erase": 0.9},
    {"mixup": 0.4},
    {"cutmix": 1.0},
    {"crop": 2, "flip": 0.5, "rotate": 10.0, "scale": 0.1, "erase": 0.5, "mixup": 0.2, "cutmix": 1.0},
]


class Highest(np.random.Generator):
    """Draws the upper bound in the place of every uniform number."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.full(size, high)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def augmented(
    images: Tensor, targets: Tensor, num_classes: int, rng: np.random.Generator, **options: Any
) -> tuple[Tensor, Tensor]:
    batch = Augment(**options)({"image": images, "target": targets}, fields(), num_classes, rng)
    return batch["image"], batch["target"]


def mixup(images: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    batch = augment.mixup({"image": images, "target": targets}, alpha, rng)
    return batch["image"], batch["target"]


def cutmix(images: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    batch = augment.cutmix({"image": images, "target": targets}, alpha, rng)
    return batch["image"], batch["target"]


def noise(count: int = 32, size: int = 12) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def smooth(size: int = 32) -> Tensor:
    """Three slow waves."""
    place = torch.linspace(-1, 1, size)
    x, y = place.view(1, -1), place.view(-1, 1)
    return torch.stack([(1 + (3 * x + y).sin()) / 2, (1 + (x * y).cos()) / 2, (2 + x - y) / 4]).unsqueeze(0)


def distinct(rows: Tensor) -> int:
    return len(np.unique(rows.numpy(), axis=0))


def flat(values: Tensor, size: int = 10) -> Tensor:
    """An image of one grey for each value."""
    return values.view(-1, 1, 1, 1).expand(-1, 1, size, size)


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_the_same_seed_gives_the_same_batch(options: dict[str, Any]) -> None:
    first, second = (augmented(noise(), torch.arange(32), 32, rng(7), **options) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_another_seed_gives_another_batch(options: dict[str, Any]) -> None:
    first, second = (augmented(noise(), torch.arange(32), 32, rng(seed), **options)[0] for seed in (7, 8))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_values_stay_between_0_and_1(options: dict[str, Any]) -> None:
    images, _ = augmented(noise(256).round(), torch.arange(256), 256, rng(), **options)
    assert images.min() >= -1e-6
    assert images.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("options", "at_least"),
    [({"crop": 4}, 20), ({"flip": 0.5}, 2), ({"rotate": 30}, 32), ({"translate": 0.2}, 32), ({"scale": 0.3}, 32)],
    ids=["crop", "flip", "rotate", "translate", "scale"],
)
def test_equal_images_of_a_batch_come_out_different(options: dict[str, Any], at_least: int) -> None:
    images, _ = augmented(noise(1).expand(32, -1, -1, -1), torch.zeros(32, dtype=torch.int64), 10, rng(), **options)
    assert distinct(images) >= at_least


@pytest.mark.parametrize("options", [{"mixup": 1.0}, {"cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_every_image_is_mixed_by_a_share_of_its_own(options: dict[str, Any]) -> None:
    _, targets = augmented(noise(32, 64), torch.arange(32), 32, rng(), **options)
    assert distinct(targets.diagonal()) >= 28


def test_nothing_switched_on_changes_nothing() -> None:
    images, targets = augmented(noise(), torch.arange(32), 32, rng())
    assert torch.equal(images, noise())
    assert torch.equal(targets, torch.arange(32))


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    images = noise(40, 6)
    for image, crop in zip(F.pad(images, (2, 2, 2, 2)), random_crop(len(images), 2, rng())(images), strict=True):
        windows = [image[:, top : top + 6, left : left + 6] for top in range(5) for left in range(5)]
        assert any(torch.equal(crop, window) for window in windows)


def test_crops_reach_every_window() -> None:
    crops = random_crop(1000, 2, rng())(noise(1, 6).expand(1000, -1, -1, -1))
    assert distinct(crops) == 25


def test_flip_of_probability_1_mirrors_left_and_right() -> None:
    images = noise()
    assert torch.equal(random_flip(len(images), 1.0, rng())(images), images[..., torch.arange(11, -1, -1)])


def test_flip_mirrors_its_share_of_the_images() -> None:
    images = noise(2000, 4)
    flipped = random_flip(len(images), 0.3, rng())(images)
    mirrored = (flipped == images.flip(-1)).all(dim=(1, 2, 3))
    kept = (flipped == images).all(dim=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_affine_of_zero_ranges_is_the_identity() -> None:
    images = noise()
    torch.testing.assert_close(random_affine(len(images), 0, 0, 0, rng())(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [15.0, 90.0, 137.0])
def test_rotation_matches_torchvision(angle: float) -> None:
    # torchvision counts angles clockwise
    expected = reference.affine(smooth(), -angle, [0, 0], 1.0, [0, 0], interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(random_affine(1, angle, 0, 0, Highest())(smooth()), expected, atol=1e-4, rtol=0)


def test_scaling_matches_torchvision() -> None:
    expected = reference.affine(smooth(), 0, [0, 0], 1.3, [0, 0], interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(random_affine(1, 0, 0, 0.3, Highest())(smooth()), expected, atol=1e-4, rtol=0)


def test_translation_is_a_share_of_the_image() -> None:
    moved = random_affine(1, 0, 0.25, 0, Highest())(smooth())
    expected = F.pad(smooth()[..., 8:, 8:], (0, 8, 0, 8))  # by 8 of 32 pixels, up and left
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


def test_rotations_spread_evenly_over_both_directions() -> None:
    dot = torch.zeros(2000, 1, 65, 65)
    dot[:, :, 31:34, 60:63] = 1  # to the right of the centre
    turned = random_affine(len(dot), 40, 0, 0, rng())(dot)
    place = torch.arange(65.0) - 32
    x, y = (turned.sum(dim=axes) @ place for axes in ((1, 2), (1, 3)))
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max().item() == pytest.approx(40, abs=0.5)
    assert angles.mean().item() == pytest.approx(0, abs=2)
    assert angles.std().item() == pytest.approx(80 / 12**0.5, rel=0.05)


def test_erasing_sets_one_rectangle_to_zero() -> None:
    erased = random_erase(noise(64, 32) + 1e-3, 1.0, rng()) == 0
    for image in erased:
        assert (image == image[0]).all()
        rows, columns = image[0].any(dim=1), image[0].any(dim=0)
        assert torch.equal(image[0], rows[:, None] & columns[None, :])
        for side in (rows, columns):
            place = torch.nonzero(side).flatten()
            assert place[-1] - place[0] + 1 == len(place)


def test_erasing_keeps_the_rest_of_the_image() -> None:
    images = noise(64, 32)
    erased = random_erase(images, 1.0, rng())
    assert torch.equal(erased, torch.where(erased == 0, 0, images))


def test_erased_rectangles_have_2_to_33_percent_of_the_area() -> None:
    shares = (random_erase(torch.ones(500, 1, 128, 128), 1.0, rng()) == 0).float().mean(dim=(1, 2, 3))
    assert shares.min() > 0.0174  # a side is rounded by up to one of 128 pixels
    assert shares.max() < 0.34


def test_erasing_meets_its_share_of_the_images() -> None:
    erased = (random_erase(torch.ones(2000, 1, 32, 32), 0.4, rng()) == 0).any(dim=(1, 2, 3))
    assert erased.float().mean().item() == pytest.approx(0.4, abs=0.04)


def test_mixup_targets_are_the_mixture_of_the_pixels() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    images, targets = mixup(flat(values), torch.eye(64), 0.5, rng())
    torch.testing.assert_close(images, flat(targets @ values))


def test_mixup_shares_follow_the_beta_distribution() -> None:
    _, targets = mixup(flat(torch.ones(3000), 1), torch.eye(3000), 0.3, rng())
    own = targets.diagonal()
    assert own.mean().item() == pytest.approx(0.5, abs=0.02)
    assert own.var().item() == pytest.approx(1 / (4 * (2 * 0.3 + 1)), rel=0.05)


def test_cutmix_targets_are_the_mixture_of_the_pixels() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    images, targets = cutmix(flat(values, 17), torch.eye(64), 1.0, rng())
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), targets @ values)


def test_cutmix_takes_every_pixel_whole_from_one_of_two_images() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    images, targets = cutmix(flat(values), torch.eye(64), 1.0, rng())
    for image, target in zip(images, targets, strict=True):
        assert set(image.flatten().tolist()) == set(values[target > 0].tolist())


def test_cutmix_pastes_the_area_that_is_drawn() -> None:
    _, targets = cutmix(flat(torch.ones(256), 64), torch.eye(256), 1e6, rng())  # Beta gives 0.5
    assert 1 - targets.diagonal().min().item() == pytest.approx(0.5, abs=0.03)  # rectangles at the border have less


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_mixed_targets_sum_to_one(options: dict[str, Any]) -> None:
    _, targets = augmented(noise(64), torch.arange(64) % 10, 10, rng(), **options)
    assert targets.shape == (64, 10)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(64))


def test_with_both_on_half_of_the_batches_get_mixup_and_half_cutmix() -> None:
    values = torch.linspace(0, 1, 8)
    outputs = [augmented(flat(values), torch.arange(8), 8, rng(seed), mixup=1.0, cutmix=1.0)[0] for seed in range(300)]
    blended = [bool((images.flatten(1).std(dim=1) < 1e-6).all()) for images in outputs]
    assert np.mean(blended) == pytest.approx(0.5, abs=0.1)
