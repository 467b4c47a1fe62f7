"""Fields: what each named tensor of a dataset is fitted to, and what the network reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from dlrun.dataset.field import Field, Image, Label, Mask, Sizes, Vector, fit, images, read
from dlrun.errors import UserError


def pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def assert_within_one_level(images: Tensor, expected: Tensor) -> None:
    assert images.dtype == torch.uint8
    torch.testing.assert_close(images.int(), expected.int(), atol=1, rtol=0)


def test_luminance_matches_torchvision() -> None:
    images = pixels(4, 3, 16, 16)
    assert_within_one_level(fit(images, 1, 16), reference.rgb_to_grayscale(images))


def test_luminance_of_grey_is_the_same_grey() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(fit(grey.expand(3, -1, -1), 1, 16), grey)


@pytest.mark.parametrize("image_size", [9, 16, 50])
def test_resizing_matches_torchvision(image_size: int) -> None:
    images = pixels(4, 3, 28, 20)
    expected = reference.resize(images, [image_size, image_size], antialias=True)
    assert_within_one_level(fit(images, 3, image_size), expected)


def test_one_channel_becomes_three_equal_ones() -> None:
    images = pixels(4, 1, 8, 8)
    assert torch.equal(fit(images, 3, 8), torch.cat([images] * 3, dim=1))


def test_an_image_alone_is_fitted_as_in_a_batch() -> None:
    images = pixels(4, 3, 28, 20)
    batch = fit(images, 1, 12)
    assert all(torch.equal(fit(image, 1, 12), row) for image, row in zip(images, batch, strict=True))


def test_images_that_fit_already_stay_as_they_are() -> None:
    images = pixels(4, 3, 8, 8)
    assert torch.equal(fit(images, 3, 8), images)


def test_images_of_floats_are_fitted_as_bytes_are() -> None:
    images = pixels(4, 3, 28, 20)
    for channels in (1, 3):
        whole, parts = fit(images, channels, 12).float() / 255, fit(images.float() / 255, channels, 12)
        torch.testing.assert_close(parts, whole, atol=1.01 / 255, rtol=0)


def test_the_middle_of_a_larger_image_is_cut_out() -> None:
    images = pixels(4, 3, 28, 28)
    assert torch.equal(Image().fit(images, Sizes(3, 20, 28)), images[..., 4:24, 4:24])


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_cannot_be_converted_are_refused(channels: int) -> None:
    with pytest.raises(UserError, match=f"^dataset.channels=1: the data has {channels}$"):
        Image().fit(pixels(channels, 8, 8), Sizes(1, 8))


@pytest.mark.parametrize(
    ("values", "found"),
    [(torch.zeros(8, 8, dtype=torch.uint8), r"uint8 \(8, 8\)"), (torch.zeros(1, 8, 8).long(), r"int64 \(1, 8, 8\)")],
)
def test_what_is_no_image_is_refused(values: Tensor, found: str) -> None:
    with pytest.raises(UserError, match=f"^dataset.source: an image is {found}; expected uint8"):
        Image().fit(values, Sizes(1, 8))


def test_an_image_is_read_in_the_unit_range() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    torch.testing.assert_close(Image().read(levels), torch.arange(256.0).view(1, 1, 16, 16) / 255)
    assert torch.equal(Image().read(levels / 255), levels / 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_a_mask_is_resized_to_its_nearest_pixels_and_cut_as_its_image_is(dtype: torch.dtype) -> None:
    mask = torch.arange(4).view(2, 2).to(dtype)
    large = Mask().fit(mask, Sizes(1, 8))
    assert large.dtype == dtype
    assert torch.equal(large, mask.repeat_interleave(4, 0).repeat_interleave(4, 1))
    assert torch.equal(Mask().fit(large, Sizes(1, 2)), mask)
    assert torch.equal(Mask().fit(large.expand(3, -1, -1), Sizes(1, 4, 8)), large[2:6, 2:6].expand(3, -1, -1))


def test_a_mask_lies_where_its_image_lies_after_resizing() -> None:
    mask = torch.zeros(40, 30, dtype=torch.uint8)
    mask[10:30, 5:20] = 1
    sizes = Sizes(1, 24, 32)
    image = Image().fit((mask * 255).unsqueeze(0), sizes).squeeze(0)
    fitted = Mask().fit(mask, sizes)
    assert fitted.shape == (24, 24)
    assert (fitted[image > 191] == 1).all()
    assert (fitted[image < 64] == 0).all()


def test_masks_and_labels_are_read_as_int64() -> None:
    for field in (Mask(), Label()):
        assert field.read(torch.tensor([1, 2], dtype=torch.uint8)).dtype == torch.int64


def test_values_to_predict_stay_floats() -> None:
    assert torch.equal(Label().read(torch.tensor([0.5, 1.5])), torch.tensor([0.5, 1.5]))


def test_labels_are_renumbered() -> None:
    numbers = torch.tensor([-1, 1, 0])
    assert Label(numbers).fit(torch.tensor([2, 1, 2], dtype=torch.uint8), Sizes(1, 1)).tolist() == [0, 1, 0]
    assert int(Label(numbers).fit(torch.tensor(1), Sizes(1, 1))) == 1


def test_vectors_are_read_as_they_are_in_single_precision() -> None:
    values = torch.tensor([[0.25, -3.0]], dtype=torch.float64)
    assert torch.equal(Vector().read(values), values.float())
    single = values.float()
    assert Vector().read(single) is single


def test_a_batch_is_read_name_by_name_in_its_order() -> None:
    fields = {"tokens": Field(), "image": Image()}
    found = read({"tokens": torch.tensor([[3, 4]]), "image": pixels(1, 1, 2, 2)}, fields)
    assert list(found) == ["tokens", "image"]
    assert found["tokens"].tolist() == [[3, 4]]
    assert found["image"].dtype == torch.float32


def test_images_alone_are_pictures() -> None:
    assert [type(field) for field in images().values()] == [Image, Label]
    assert [field.is_picture for field in (Image(), Mask(), Label(), Vector(), Field())] == [True] + [False] * 4
