from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from dlrun.dataset.augment import Augment, cutmix, mixup, random_affine, random_crop, random_erase, random_flip
from dlrun.dataset.batch import Batch
from dlrun.dataset.field import Field, Image, Label, Mask, Vector, images
from dlrun.errors import UserError

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


def noise(count: int = 32, size: int = 12) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def smooth(size: int = 32) -> Tensor:
    """Three slow waves."""
    place = torch.linspace(-1, 1, size)
    x, y = place.view(1, -1), place.view(-1, 1)
    return torch.stack([(1 + (3 * x + y).sin()) / 2, (1 + (x * y).cos()) / 2, (2 + x - y) / 4]).unsqueeze(0)


def augmented(options: dict[str, Any], values: Tensor, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images and targets, image i of class i modulo the number of classes."""
    batch = {"image": values, "target": torch.arange(len(values)) % classes}
    found = Augment(**options)(batch, images(), classes, rng(seed))
    assert list(found) == ["image", "target"]
    return found["image"], found["target"]


def mixed(function: Any, values: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """What mixup or cutmix makes of images of a class each."""
    found = function({"image": values, "target": torch.eye(len(values))}, alpha, rng())
    return found["image"], found["target"]


def distinct(rows: Tensor) -> int:
    return len(np.unique(rows.numpy(), axis=0))


def flat(values: Tensor, size: int = 10) -> Tensor:
    """An image of one grey for each value."""
    return values.view(-1, 1, 1, 1).expand(-1, 1, size, size)


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_the_same_seed_gives_the_same_batch(options: dict[str, Any]) -> None:
    first, second = (augmented(options, noise(), 32, 7) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_another_seed_gives_another_batch(options: dict[str, Any]) -> None:
    first, second = (augmented(options, noise(), 32, seed)[0] for seed in (7, 8))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("options", EACH, ids=lambda options: "+".join(options))
def test_values_stay_between_0_and_1(options: dict[str, Any]) -> None:
    values, _ = augmented(options, noise(256).round(), 256)
    assert values.min() >= -1e-6
    assert values.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("options", "at_least"),
    [({"crop": 4}, 20), ({"flip": 0.5}, 2), ({"rotate": 30}, 32), ({"translate": 0.2}, 32), ({"scale": 0.3}, 32)],
    ids=["crop", "flip", "rotate", "translate", "scale"],
)
def test_equal_images_of_a_batch_come_out_different(options: dict[str, Any], at_least: int) -> None:
    values, _ = augmented(options, noise(1).expand(32, -1, -1, -1), 10)
    assert distinct(values) >= at_least


@pytest.mark.parametrize("options", [{"mixup": 1.0}, {"cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_every_image_is_mixed_by_a_share_of_its_own(options: dict[str, Any]) -> None:
    _, targets = augmented(options, noise(32, 64), 32)
    assert distinct(targets.diagonal()) >= 28


def test_nothing_switched_on_changes_nothing() -> None:
    values, targets = augmented({}, noise(), 32)
    assert torch.equal(values, noise())
    assert torch.equal(targets, torch.arange(32))


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    values = noise(40, 6)
    for image, crop in zip(F.pad(values, (2, 2, 2, 2)), random_crop(40, 2, rng())(values), strict=True):
        windows = [image[:, top : top + 6, left : left + 6] for top in range(5) for left in range(5)]
        assert any(torch.equal(crop, window) for window in windows)


def test_crops_reach_every_window() -> None:
    crops = random_crop(1000, 2, rng())(noise(1, 6).expand(1000, -1, -1, -1))
    assert distinct(crops) == 25


def test_flip_of_probability_1_mirrors_left_and_right() -> None:
    values = noise()
    assert torch.equal(random_flip(len(values), 1.0, rng())(values), values[..., torch.arange(11, -1, -1)])


def test_flip_mirrors_its_share_of_the_images() -> None:
    values = noise(2000, 4)
    flipped = random_flip(2000, 0.3, rng())(values)
    mirrored = (flipped == values.flip(-1)).all(dim=(1, 2, 3))
    kept = (flipped == values).all(dim=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.04)


def test_affine_of_zero_ranges_is_the_identity() -> None:
    values = noise()
    torch.testing.assert_close(random_affine(len(values), 0, 0, 0, rng())(values), values, atol=1e-5, rtol=0)


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
    turned = random_affine(2000, 40, 0, 0, rng())(dot)
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
    values = noise(64, 32)
    erased = random_erase(values, 1.0, rng())
    assert torch.equal(erased, torch.where(erased == 0, 0, values))


def test_erased_rectangles_have_2_to_33_percent_of_the_area() -> None:
    shares = (random_erase(torch.ones(500, 1, 128, 128), 1.0, rng()) == 0).float().mean(dim=(1, 2, 3))
    assert shares.min() > 0.0174  # a side is rounded by up to one of 128 pixels
    assert shares.max() < 0.34


def test_erasing_meets_its_share_of_the_images() -> None:
    erased = (random_erase(torch.ones(2000, 1, 32, 32), 0.4, rng()) == 0).any(dim=(1, 2, 3))
    assert erased.float().mean().item() == pytest.approx(0.4, abs=0.04)


def test_mixup_targets_are_the_mixture_of_the_pixels() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    pixels, targets = mixed(mixup, flat(values), 0.5)
    torch.testing.assert_close(pixels, flat(targets @ values))


def test_mixup_shares_follow_the_beta_distribution() -> None:
    _, targets = mixed(mixup, flat(torch.ones(3000), 1), 0.3)
    own = targets.diagonal()
    assert own.mean().item() == pytest.approx(0.5, abs=0.02)
    assert own.var().item() == pytest.approx(1 / (4 * (2 * 0.3 + 1)), rel=0.05)


def test_cutmix_targets_are_the_mixture_of_the_pixels() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    pixels, targets = mixed(cutmix, flat(values, 17), 1.0)
    torch.testing.assert_close(pixels.mean(dim=(1, 2, 3)), targets @ values)


def test_cutmix_takes_every_pixel_whole_from_one_of_two_images() -> None:
    values = torch.rand(64, generator=torch.Generator().manual_seed(0))
    pixels, targets = mixed(cutmix, flat(values), 1.0)
    for image, target in zip(pixels, targets, strict=True):
        assert set(image.flatten().tolist()) == set(values[target > 0].tolist())


def test_cutmix_pastes_the_area_that_is_drawn() -> None:
    _, targets = mixed(cutmix, flat(torch.ones(256), 64), 1e6)  # Beta gives 0.5
    assert 1 - targets.diagonal().min().item() == pytest.approx(0.5, abs=0.03)  # rectangles at the border have less


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_mixed_targets_sum_to_one(options: dict[str, Any]) -> None:
    _, targets = augmented(options, noise(64), 10)
    assert targets.shape == (64, 10)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(64))


def test_with_both_on_half_of_the_batches_get_mixup_and_half_cutmix() -> None:
    values, options = torch.linspace(0, 1, 8), {"mixup": 1.0, "cutmix": 1.0}
    outputs = [augmented(options, flat(values), 8, seed)[0] for seed in range(300)]
    blended = [bool((pixels.flatten(1).std(dim=1) < 1e-6).all()) for pixels in outputs]
    assert np.mean(blended) == pytest.approx(0.5, abs=0.1)


PAIR: dict[str, Field] = {"image": Image(), "mask": Mask(fill=7)}


def squares(count: int = 64, size: int = 24) -> Batch:
    """An image of a white square on black, and a mask that says 3 inside it and 1 outside."""
    mask = torch.ones(count, size, size, dtype=torch.int64)
    for number, row in enumerate(mask):
        top, left = 2 + number % 9, 3 + number % 7
        row[top : top + 10, left : left + 8] = 3
    return {"image": (mask == 3).float().unsqueeze(1), "mask": mask}


@pytest.mark.parametrize(
    "options",
    [
        {"crop": 4},
        {"flip": 0.5},
        {"rotate": 30},
        {"translate": 0.2, "scale": 0.3},
        {"crop": 3, "flip": 0.5, "rotate": 40},
    ],
    ids=lambda options: "+".join(options),
)
def test_a_mask_moves_with_its_image(options: dict[str, Any]) -> None:
    given = squares()
    found = Augment(**options)(given, PAIR, 0, rng())
    image, mask = found["image"].squeeze(1), found["mask"]
    assert mask.dtype == torch.int64
    assert set(mask.flatten().tolist()) <= {1, 3, 7}
    assert not torch.equal(mask, given["mask"])
    # Where the image is clearly inside or outside, so is the mask; between the two only the square's edge is grey.
    assert (mask[image > 0.75] == 3).all()
    assert (mask[image < 0.25] != 3).all()
    grey = ((image >= 0.25) & (image <= 0.75)).float().mean()
    assert grey < 0.06


def test_what_a_mask_gets_from_outside_the_image_is_its_fill() -> None:
    batch: Batch = {"image": torch.ones(200, 1, 8, 8), "mask": torch.ones(200, 8, 8, dtype=torch.int64)}
    found = Augment(crop=3)(batch, PAIR, 0, rng())
    assert torch.equal(found["mask"] == 7, found["image"].squeeze(1) == 0)
    assert (found["mask"] == 7).any()


def test_erasing_leaves_masks_and_labels_as_they_are() -> None:
    given = {**squares(), "target": torch.arange(64)}
    found = Augment(erase=1.0)(given, {**PAIR, "target": Label()}, 64, rng())
    assert not torch.equal(found["image"], given["image"])
    assert torch.equal(found["mask"], given["mask"])
    assert torch.equal(found["target"], given["target"])


def test_an_image_is_augmented_alike_with_and_without_a_mask() -> None:
    options: dict[str, Any] = {"crop": 2, "flip": 0.5, "rotate": 20, "erase": 0.5}
    with_mask = Augment(**options)(squares(), PAIR, 0, rng(3))["image"]
    alone = Augment(**options)({"image": squares()["image"]}, PAIR, 0, rng(3))["image"]
    assert torch.equal(with_mask, alone)


def test_mixup_blends_vectors_too() -> None:
    batch = {"point": torch.rand(40, 2, generator=torch.Generator().manual_seed(0)), "target": torch.arange(40)}
    found = Augment(mixup=0.5)(batch, {"point": Vector(), "target": Label()}, 40, rng())
    torch.testing.assert_close(found["point"], found["target"] @ batch["point"])


POINT: dict[str, Field] = {"point": Vector(), "target": Label()}


@pytest.mark.parametrize(
    ("options", "fields", "message"),
    [
        ({"mixup": 0.4}, PAIR, "mixup=0.4: mixes classes, and the data has none"),
        ({"cutmix": 1.0}, PAIR, "cutmix=1.0: mixes classes, and the data has none"),
        ({"mixup": 0.4}, {**PAIR, "target": Label()}, "mixup=0.4: cannot mix the data's mask"),
        ({"cutmix": 1.0}, {**PAIR, "target": Label()}, "cutmix=1.0: cannot mix the data's mask"),
        ({"cutmix": 1.0}, POINT, "cutmix=1.0: changes images, and the data has none (point, target)"),
        ({"crop": 4}, POINT, "crop=4: changes images, and the data has none (point, target)"),
        ({"mixup": 0.4}, {**POINT, "length": Field()}, "mixup=0.4: cannot mix the data's length"),
    ],
)
def test_augmentation_that_makes_no_sense_is_refused(
    options: dict[str, Any], fields: dict[str, Field], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        Augment(**options).check(fields, 2)
    assert str(caught.value) == f"dataset.augment.{message}; expected 0"


def test_augmentation_that_makes_sense_is_taken() -> None:
    everything = {
        "crop": 1,
        "flip": 0.5,
        "rotate": 1,
        "translate": 0.1,
        "scale": 0.1,
        "erase": 0.5,
        "mixup": 1,
        "cutmix": 1,
    }
    Augment(**everything).check(images(), 2)  # type: ignore[arg-type]
    Augment(crop=1, flip=0.5, rotate=1, erase=0.5).check(PAIR, None)
    Augment(mixup=0.5).check(POINT, 2)
