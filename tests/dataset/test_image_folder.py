from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.dataset.image_folder import FileSource, load
from dlrun.dataset.source import Splits
from dlrun.errors import UserError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def tree(root: Path, **counts: int) -> Path:
    """A folder for each class with so many PNG and JPEG files."""
    for name, count in counts.items():
        for number in range(count):
            picture(root / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return root


def files(source: object) -> list[Path]:
    assert isinstance(source, FileSource)
    return source.paths


def one(path: Path, image_size: int = 8, channels: int = 3) -> torch.Tensor:
    return FileSource([path], torch.tensor([0]), image_size, channels)[0]


def error_of(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(str(root), 8)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp"])
def test_a_file_gives_its_pixels_in_every_format(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / f"a.{suffix}", (200, 40, 120))
    image = one(tmp_path / f"a.{suffix}")
    assert (image.dtype, image.shape) == (torch.uint8, (3, 8, 8))
    torch.testing.assert_close(image[:, 4, 4].int(), torch.tensor([200, 40, 120]).int(), atol=4, rtol=0)


def test_one_channel_is_the_luminance(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (255, 0, 0))
    assert one(tmp_path / "a.png", channels=1).flatten().tolist() == [76] * 64  # 0.299 * 255


def test_a_square_is_cut_out_of_the_middle(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), GREEN)
    image.paste(RED, (0, 0, 5, 10))
    image.paste(BLUE, (15, 0, 20, 10))
    image.save(tmp_path / "a.png")
    assert torch.equal(
        one(tmp_path / "a.png", 10), torch.tensor(GREEN, dtype=torch.uint8).view(3, 1, 1).expand(3, 10, 10)
    )


@pytest.mark.parametrize(
    ("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)], ids=["as it is", "half", "right", "left"]
)
def test_the_cameras_rotation_is_undone(tmp_path: Path, orientation: int, turns: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(one(tmp_path / "a.png", 16, channels=1)[0], np.rot90(stored, turns))


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(one(tmp_path / "a.png", 16, channels=1)[0], levels)


def test_the_folders_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    for split, counts in {"train": (5, 4), "val": (1, 2), "test": (2, 1)}.items():
        tree(tmp_path / split, cat=counts[0], dog=counts[1])
    splits = load(str(tmp_path), 8)
    assert splits.val is not None
    targets = [split.targets.tolist() for split in (splits.train, splits.val, splits.test)]
    assert targets == [[0] * 5 + [1] * 4, [0] + [1] * 2, [0] * 2 + [1]]
    assert splits.classes == ["cat", "dog"]


def test_every_image_has_the_class_of_its_folder(tmp_path: Path) -> None:
    splits = load(str(tree(tmp_path, cat=6, dog=7)), 8, test_fraction=0.3)
    for split in (splits.train, splits.test):
        names = [splits.classes[target] for target in split.targets.tolist()]
        assert names == [path.parent.name for path in files(split)]


def test_images_in_deeper_folders_are_found(tmp_path: Path) -> None:
    tree(tmp_path, cat=1, dog=2)
    picture(tmp_path / "cat" / "2021" / "may" / "x.png")
    splits = load(str(tmp_path), 8, test_fraction=0)
    assert splits.train.targets.tolist() == [0, 0, 1, 1]


def test_suffixes_in_capitals_are_found(tmp_path: Path) -> None:
    tree(tmp_path, cat=1, dog=1)
    picture(tmp_path / "cat" / "IMG_0001.JPG")
    assert len(load(str(tmp_path), 8, test_fraction=0).train) == 3


def test_files_that_are_no_images_are_left_out(tmp_path: Path) -> None:
    tree(tmp_path, cat=2, dog=2)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "LICENSE").write_text("no class")
    assert len(load(str(tmp_path), 8, test_fraction=0).train) == 4


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    tree(tmp_path, cat=2, dog=2)
    (tmp_path / ".thumbnails").mkdir()
    assert load(str(tmp_path), 8).classes == ["cat", "dog"]


def split_names(splits: Splits) -> tuple[set[Path], set[Path]]:
    return set(files(splits.train)), set(files(splits.test))


def test_one_folder_is_split_class_by_class(tmp_path: Path) -> None:
    splits = load(str(tree(tmp_path, cat=10, dog=20)), 8, test_fraction=0.2)
    assert splits.val is None
    assert splits.test.targets.tolist() == [0] * 2 + [1] * 4
    train, test = split_names(splits)
    assert train | test == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert not train & test


def test_the_split_of_one_folder_is_a_function_of_the_seed(tmp_path: Path) -> None:
    tree(tmp_path, cat=20, dog=20)
    first, again, other = (split_names(load(str(tmp_path), 8, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_folder_train_alone_is_split_too(tmp_path: Path) -> None:
    tree(tmp_path / "train", cat=5, dog=5)
    splits = load(str(tmp_path), 8, test_fraction=0.2)
    assert (len(splits.train), len(splits.test)) == (8, 2)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}: no such folder" in error_of(tmp_path / "nowhere")


def test_an_empty_root_is_named(tmp_path: Path) -> None:
    assert f"no class folders in {tmp_path}" in error_of(tmp_path)


def test_a_single_class_is_named(tmp_path: Path) -> None:
    assert f"one class (cat) in {tmp_path}" in error_of(tree(tmp_path, cat=2))


def test_class_folders_without_images_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    assert f"no images in {tmp_path}" in error_of(tmp_path)


def test_a_test_class_that_training_lacks_is_named(tmp_path: Path) -> None:
    tree(tmp_path / "train", cat=2, dog=2)
    tree(tmp_path / "test", cat=1, cow=1)
    message = error_of(tmp_path)
    assert str(tmp_path / "test") in message
    assert message.endswith("cow")


@pytest.mark.parametrize("content", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n\0\0"])
def test_an_unreadable_file_is_named_before_training(tmp_path: Path, content: bytes) -> None:
    broken = tree(tmp_path, cat=2, dog=2) / "dog" / "broken.png"
    broken.write_bytes(content)
    assert str(broken) in error_of(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_file_is_named_when_it_is_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match=path.name) as caught:
        one(path)
    assert "\n" not in str(caught.value)
