"""What is said of a dataset whose figures would mislead."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlrun.dataset.data import prepare
from dlrun.dataset.image_folder import load
from dlrun.dataset.oddities import TAIL, Place, same_content
from tests.dataset.test_data import config
from tests.dataset.test_image_folder import picture


def said(root: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    prepare(load(str(root), 4), config(channels=3, val_fraction=0.0), 0, torch.device("cpu"), None)
    return capsys.readouterr().out.replace(f"{root}/", "").splitlines()


def test_classes_without_examples_and_images_in_two_places_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = iter(range(0, 250, 10))
    for name in ("train/cat/1", "train/cat/2", "train/dog/1", "test/cat/1", "val/dog/1", "val/cat/1", "test/dog/1"):
        picture(tmp_path / f"{name}.png", (next(colours), 0, 0))
    for split in ("train", "test"):
        (tmp_path / split / "eel").mkdir()
    assert said(tmp_path, capsys) == [
        "warning: dataset: no examples in train of eel",
        "warning: dataset: no examples in val of eel",
        "warning: dataset: no examples in test of eel",
    ]
    picture(tmp_path / "train" / "eel" / "3.png", (0, 0, 0))  # train/cat/1.png again
    picture(tmp_path / "train" / "cat" / "4.png", (0, 0, 0))  # in its own class that is no fault
    picture(tmp_path / "val" / "eel" / "1.png", (30, 0, 0))  # test/cat/1.png again
    picture(tmp_path / "test" / "eel" / "1.png", (10, 0, 0))  # train/cat/2.png again
    assert said(tmp_path, capsys) == [
        "warning: dataset.root: 2 images in two splits or more, by content, such as train/cat/2.png and test/eel/1.png",
        "warning: dataset.root: 3 images in two classes or more, by content, such as train/cat/1.png and"
        " train/eel/3.png",
    ]


def test_files_are_equal_only_by_all_their_bytes(tmp_path: Path) -> None:
    end = bytes(TAIL)
    contents = [b"a" + end, b"b" + end, b"a" + end, b"aa" + end, b"", b"x", b"y", b""]
    places = []
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
        places.append(Place(tmp_path / str(number), "train", 0))
    groups = same_content([*places, Place(tmp_path / "gone", "train", 0)])
    assert sorted([int(place.path.name) for place in group] for group in groups) == [[0, 2], [4, 7]]
