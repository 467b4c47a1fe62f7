"""Which files and folders are taken of what lies on a disk."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from dlrun.dataset import folder_tree
from dlrun.dataset.folder_tree import image_files, splits
from dlrun.dataset.image_folder import load
from dlrun.errors import UserError
from tests.dataset.test_image_folder import files, picture, tree


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in image_files(folder)]


def test_what_is_hidden_or_left_by_systems_is_left_out(tmp_path: Path) -> None:
    hidden = [".a.png", "._b.jpg", ".ipynb_checkpoints/c.png", "__MACOSX/d.png", "@eaDir/e.jpg", "f/.thumbs/g.png"]
    touched(tmp_path, "b.JPG", "a/z.png", "folder.png/x.gif", "notes.txt", *hidden)
    assert found(tmp_path) == ["a/z.png", "b.JPG", "folder.png/x.gif"]
    touched(tmp_path / ".cache" / "cat", "a.png")
    assert found(tmp_path / ".cache" / "cat") == ["a.png"]  # a folder that is named is no hidden one


def test_links_are_followed_none_twice_and_none_in_a_circle(tmp_path: Path) -> None:
    touched(tmp_path, "far/1.png", "far/deep/2.png", "cat/3.png", "dog/4.png")
    cat = tmp_path / "cat"
    for name, target in {
        "more": "../far",
        "again": "../far/deep",
        "up": "..",
        "itself": ".",
        "5.png": "../far/1.png",
        "gone.png": "nowhere",
        "circle.png": "circle.png",
        "circle": "circle",
    }.items():
        (cat / name).symlink_to(target)
    (tmp_path / "far" / "back").symlink_to("../cat")
    names = found(cat)
    assert sorted(Path(name).name for name in names) == ["1.png", "2.png", "3.png", "5.png", "circle.png", "gone.png"]


def test_what_is_no_regular_file_is_left_out_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.txt")
    assert found(touched(tmp_path, "c.png")) == ["c.png"]
    assert capsys.readouterr().out == f"warning: {tmp_path}/a.png: no regular file; it is left out\n"


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Valid", "VAL"])
def test_validation_has_many_names(tmp_path: Path, name: str) -> None:
    for split, count in {"training": 3, name: 2, "Test": 1}.items():
        tree(tmp_path / split, cat=count, dog=count)
    made = load(str(tmp_path), 8)
    assert made.val is not None
    assert [len(made.train), len(made.val), len(made.test)] == [6, 4, 2]
    assert {path.parts[-3] for path in files(made.val)} == {name}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    made = load(str(tree(tmp_path, bus=3, train=3, test=3)), 8, test_fraction=0)
    assert made.classes == ["bus", "test", "train"]
    assert len(made.train) == 9


def test_folders_beside_the_splits_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        tree(tmp_path / split, cat=2, dog=2)
    tree(tmp_path, unsorted=1)
    assert splits(tmp_path) == {"train": tmp_path / "train", "val": tmp_path / "val"}
    assert capsys.readouterr().out == f"warning: dataset.root: {tmp_path}: left out beside the splits: unsorted\n"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/1.png", "dev/a/1.png", "val/a/1.png"], "dev and val are the same split; expected one of them"),
        (["cat/1.png", "dog/1.png", "test/cat/1.png"], "a folder test and no folder train; expected one beside it, or"),
        (["val/a/1.png", "test/a/1.png"], "a folder test and no folder train; expected one beside it, or"),
        (["car/1.png", "train/2020/1.png"], "train may be a split, or a class beside car; expected no other folders"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        splits(touched(tmp_path, *names))
    assert str(caught.value).startswith(f"{tmp_path}: {message}")
    with pytest.raises(UserError, match=r"^dataset\.root: "):
        load(str(tmp_path), 8)


def test_images_in_a_folder_train_without_classes_are_no_class(tmp_path: Path) -> None:
    touched(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(UserError, match=r"no class folders in .*train"):
        load(str(tmp_path), 8)


def test_a_name_is_one_class_however_the_disk_spells_it(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "né") for form in ("NFC", "NFD"))
    picture(tmp_path / "train" / composed / "1.png")
    picture(tmp_path / "train" / apart / "2.png")
    tree(tmp_path / "train", zoo=1)
    picture(tmp_path / "test" / apart / "3.png")
    made = load(str(tmp_path), 8)
    assert made.classes == [composed, "zoo"]
    assert [len(made.train), len(made.test)] == [3, 1]


def test_a_class_name_that_is_no_utf_8_is_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    (tmp_path / "a\tb").mkdir()
    assert list(folder_tree.classes(tmp_path)) == ["a\\tb", "caf\\xe9"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        image_files(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path}/gone: cannot be read (No such file or directory)"
