from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from dlrun.dataset.image_folder import FileSource, load
from dlrun.dataset.source import Splits, classes
from dlrun.errors import UserError
from tests.conftest import QUICK, Dlrun

RED = (255, 0, 0)


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


def error_of(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(str(root), 8)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_folders_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    for split, counts in {"train": (5, 4), "val": (1, 2), "test": (2, 1)}.items():
        tree(tmp_path / split, cat=counts[0], dog=counts[1])
    splits = load(str(tmp_path), 8)
    assert splits.val is not None
    targets = [classes(split).tolist() for split in (splits.train, splits.val, splits.test)]
    assert targets == [[0] * 5 + [1] * 4, [0] + [1] * 2, [0] * 2 + [1]]
    assert splits.classes == ["cat", "dog"]


def test_every_image_has_the_class_of_its_folder(tmp_path: Path) -> None:
    splits = load(str(tree(tmp_path, cat=6, dog=7)), 8, test_fraction=0.3)
    for split in (splits.train, splits.test):
        names = [splits.classes[target] for target in classes(split).tolist()]
        assert names == [path.parent.name for path in files(split)]


def test_images_in_deeper_folders_are_found(tmp_path: Path) -> None:
    tree(tmp_path, cat=1, dog=2)
    picture(tmp_path / "cat" / "2021" / "may" / "x.png")
    splits = load(str(tmp_path), 8, test_fraction=0)
    assert classes(splits.train).tolist() == [0, 0, 1, 1]


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


def test_the_only_image_of_a_class_is_trained_on(tmp_path: Path) -> None:
    tree(tmp_path, cat=9, dog=1)
    for seed in range(5):
        splits = load(str(tmp_path), 8, test_fraction=0.5, seed=seed)
        assert 1 in classes(splits.train).tolist()
        assert set(classes(splits.test).tolist()) == {0}


def split_names(splits: Splits) -> tuple[set[Path], set[Path]]:
    return set(files(splits.train)), set(files(splits.test))


def test_one_folder_is_split_class_by_class(tmp_path: Path) -> None:
    splits = load(str(tree(tmp_path, cat=10, dog=20)), 8, test_fraction=0.2)
    assert splits.val is None
    assert classes(splits.test).tolist() == [0] * 2 + [1] * 4
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


def cut(path: Path) -> Path:
    """A picture with a sound header whose pixels end early."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    return path


def test_a_truncated_file_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    broken = cut(tree(tmp_path, cat=2, dog=2) / "cat" / "broken.png")
    source = load(str(tmp_path), 8, test_fraction=0).train
    with pytest.raises(UserError) as caught:
        source[files(source).index(broken)]
    assert str(caught.value).startswith(f"dataset.root: {broken}: not a readable image (")
    assert str(caught.value).endswith("; dataset.on_error=skip leaves such files out")


def test_unreadable_files_are_left_out_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = load(str(tree(tmp_path, cat=5, dog=5)), 8, test_fraction=0)
    broken = [cut(tmp_path / "cat" / f"{name}.png") for name in "abc"] + [cut(tmp_path / "dog" / "d.jpg")]
    (tmp_path / "dog" / "e.png").write_bytes(b"")
    splits = load(str(tmp_path), 8, test_fraction=0, on_error="skip")
    assert files(splits.train) == files(whole.train)
    assert torch.equal(classes(splits.train), classes(whole.train))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: dataset.root: 5 of 15 files left out: ")
    assert [str(path) in line for path in broken] == [True, True, True, False]
    assert line.endswith("; and 2 more")


def test_nothing_is_said_where_every_file_is_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = load(str(tree(tmp_path, cat=5, dog=5)), 8, test_fraction=0, on_error="skip")
    assert len(splits.train) == 10
    assert capsys.readouterr().out == ""


PATHS = pytest.mark.parametrize(
    "path", [(), ("dataset.memory_budget=0", "dataset.workers=2")], ids=["memory", "stream"]
)
TRAINING = (
    "train",
    *QUICK,
    "dataset=image_folder",
    "dataset.root=photos",
    "dataset.mean=[0.5,0.5,0.5]",  # else a sample of the images is decoded at the start
    "dataset.std=[0.5,0.5,0.5]",
    "dataset.batch_size=4",
    "hydra.run.dir=mine",
)


@PATHS
def test_a_training_with_an_unreadable_file_ends_with_its_name(dlrun: Dlrun, path: tuple[str, ...]) -> None:
    cut(tree(Path("photos") / "train", cat=8, dog=8) / "cat" / "broken.png")
    tree(Path("photos") / "val", cat=2, dog=2)
    tree(Path("photos") / "test", cat=2, dog=2)
    ended = dlrun(*TRAINING, *path)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith("dlrun: dataset.root: photos/train/cat/broken.png: not a readable image (")
    assert "Traceback" not in ended.out


@pytest.mark.parametrize(("split", "key"), [("test", "dataset.source.test_fraction"), ("val", "dataset.val_fraction")])
def test_the_fraction_of_a_split_that_the_folder_has_is_refused(dlrun: Dlrun, split: str, key: str) -> None:
    folder = Path("photos")
    for name in ("train", split):
        tree(folder / name, cat=6, dog=6)
    ended = dlrun(*TRAINING, f"{key}=0.5")
    assert ended.status == 2
    told = f"dlrun: {key}: nothing would read it, since the data has a {split} split of its own; expected none"
    assert ended.errors == [told]
    other = {"test": "dataset.val_fraction", "val": "dataset.source.test_fraction"}[split]
    assert dlrun(*TRAINING, f"{other}=0.5").status == 0


@PATHS
def test_a_training_without_the_unreadable_files_is_the_same_as_if_they_were_not_there(
    dlrun: Dlrun, path: tuple[str, ...]
) -> None:
    tree(Path("photos"), cat=10, dog=10)
    assert dlrun(*TRAINING, *path).status == 0
    expected = Path("mine/metrics.csv").read_text()
    cut(Path("photos/cat/broken.png"))
    ended = dlrun(*TRAINING, *path, "dataset.on_error=skip", "hydra.run.dir=other")
    assert ended.status == 0, ended.err
    warning = "warning: dataset.root: 1 of 21 files left out: photos/cat/broken.png: not a readable image ("
    assert warning in ended.out
    assert warning in Path("other/log.txt").read_text()
    assert Path("other/metrics.csv").read_text() == expected


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [([(32, 32)], 32), ([(50, 60), (90, 51), (54, 70)], 48), ([(640, 480), (3024, 4032)], 96), ([(28, 300)], 28)],
)
def test_the_size_is_chosen_by_the_images(tmp_path: Path, sizes: list[tuple[int, int]], chosen: int) -> None:
    for name in ("cat", "dog"):
        for number, size in enumerate(sizes):
            picture(tmp_path / name / f"{number}.png", size=size)
    assert load(str(tmp_path), None, test_fraction=0).image_size == chosen
    assert load(str(tmp_path), 20, test_fraction=0).image_size == 20


def test_a_training_takes_the_size_of_the_images_unless_something_fixes_it(dlrun: Dlrun) -> None:
    for name in ("cat", "dog"):
        for number in range(8):
            picture(Path("photos") / name / f"{number}.png", size=(10 + number, 12))
    cut(Path("photos/cat/broken.png"))
    mine = ("train", "dataset=image_folder", "dataset.root=photos", "dataset.on_error=skip", "model=linear", *QUICK[2:])
    ended = dlrun(*mine, "hydra.run.dir=a")
    said = "dataset.image_size=12, chosen by the images, whose shorter sides have 10 to 32 pixels"
    assert ended.out.count(said) == 1
    config = OmegaConf.load("a/config.yaml")
    assert (config.dataset.image_size, config.dataset.resize_size, config.model.image_size) == (12, 12, 12)
    assert config.dataset.source.image_size == 12
    again = dlrun("train", "run=a", "trainer.epochs=3")
    assert again.status == 0, again.err
    assert "chosen" not in again.out + dlrun("evaluate", "run=a", "dataset.root=photos").out
    assert "chosen" not in dlrun(*mine, "dataset.image_size=8", "hydra.run.dir=b").out
    assert OmegaConf.load("b/config.yaml").dataset.image_size == 8
    sized = dlrun(*mine, "dataset.resize_size=16", "hydra.run.dir=c")
    assert sized.status == 0, sized.err
    assert OmegaConf.load("c/config.yaml").dataset.image_size == 16
    weights = ("weights=a/checkpoints/best.pt", "hydra.run.dir=d")
    refused = dlrun(*mine, *weights)  # most weights in files are of ImageNet, with its size
    assert "150528" in refused.err  # 3 x 224 x 224
    assert dlrun(*mine, *weights, "dataset.image_size=12").status == 0


def test_only_the_two_ways_with_errors_are_taken(dlrun: Dlrun) -> None:
    ended = dlrun("train", "dataset=image_folder", "dataset.on_error=ignore")
    assert ended.errors == ["dlrun: dataset.on_error='ignore': expected 'raise' or 'skip'"]
